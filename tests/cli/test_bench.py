"""`heedful bench mechanisms` prints a table or JSON, and writes a page."""

import json

import pytest

WORDS = ("bench", "mechanisms", "--lengths", "32,64", "--only", "scaled_dot,dot,window")
QUICK = (*WORDS, "--seconds", "0.01")


def test_json_has_a_cell_for_each_mechanism_and_length(heedful):
    code, out, err = heedful(*QUICK, "--json")
    cells = json.loads(out)["cells"]
    assert code == 0
    assert [(cell["mechanism"], cell["length"]) for cell in cells] == [
        (name, length) for name in ("scaled_dot", "dot", "window") for length in (32, 64)
    ]
    assert err.startswith("measuring\n")


def test_people_get_a_table_that_says_who_loses(heedful):
    code, out, _ = heedful(*QUICK)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "times plain attention: faster from which length on, and how much at 64" in lines
    assert "mechanism forward from both from forward both memory error" in lines
    assert {line.partition(" ")[0] for line in lines} >= {"scaled_dot", "dot", "window"}
    assert "of 2 are slower than plain attention at every length" in lines[-1]


def test_page(heedful, tmp_path):
    code, _, err = heedful(*QUICK, "-o", "page.html")
    assert (code, err.splitlines()[-1]) == (0, "written to page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "heedful bench mechanisms --lengths 32,64" in text


@pytest.mark.parametrize(
    "words, message",
    [
        (("-o", "page.png"), "output must end in .html, got page.png"),
        (("--lengths", "8,x"), "lengths must be whole numbers, got 'x'"),
        (("--only", "dots"), "mechanism must be one of "),
        (("--lengths", "0"), "lengths must be at least 1, got 0"),
    ],
)
def test_usage(heedful, words, message):
    code, out, err = heedful("bench", "mechanisms", *words)
    assert (code, out) == (2, "")
    assert message in err


def test_only_what_can_be_compared(heedful):
    assert heedful("bench", "nothing")[0] == 2
