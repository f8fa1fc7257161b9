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


# ---- attention -----------------------------------------------------------------------------------

ROW = {
    "case": "dense",
    "dtype": "bf16",
    "batch": 2,
    "heads": 3,
    "queries": 5,
    "keys": 7,
    "dim": 4,
    "density": 0.5,
    "causal": True,
    "backward": False,
    "threads": 2,
    "ours_ms": 1.5,
    "sdpa_ms": 6.0,
    "flex_ms": None,
    "speedup": 4.0,
    "error": 0.002,
    "sdpa_error": 0.001,
    "matrix_fraction": 0.75,
}


@pytest.fixture
def measured(monkeypatch):
    """Nothing is measured; gives what was asked for."""
    from heedful.bench.attention import measure
    from heedful.bench.attention.row import Measurement, Row
    from heedful.bench.timing import Ratio

    asked = []

    def stub(groups, *, threads, settings, on_progress, rates):
        on_progress("something")
        asked.append((groups, threads, settings))
        rates.all["bf16", 2] = [2e9]
        rows = [Row(**{**ROW, "case": name}) for name in ("dense", "sweep")]
        return [
            Measurement(row=row, spread=(1.0, 2.0), speedup=Ratio(4.0, 3.0, 5.0)) for row in rows
        ]

    monkeypatch.setattr(measure, "measure", stub)
    return asked


def test_attention_json_is_a_list_of_rows(heedful, measured):
    code, out, err = heedful("bench", "attention", "--json")
    assert (code, json.loads(out)) == (0, [ROW, {**ROW, "case": "sweep"}])
    assert list(json.loads(out)[0]) == list(ROW)
    assert err.startswith("measuring\n")


def test_attention_asks_for_what_was_named(heedful, measured):
    from heedful.bench.attention.cases import groups
    from heedful.bench.attention.measure import MeasureSettings

    heedful("bench", "attention", "--json")
    words = ("--cases", "small,decode", "--threads", "1,2", "--impl", "cpu", "--flex")
    heedful("bench", "attention", *words, "--seconds", "0.5")
    assert measured == [
        (groups(), None, MeasureSettings()),
        (groups(["small", "decode"]), (1, 2), MeasureSettings(impl="cpu", flex=True, seconds=0.5)),
    ]


@pytest.mark.parametrize("columns", ["200", "60"])
def test_people_get_a_table_for_each_case(heedful, measured, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)  # a narrow terminal cuts nothing off
    code, out, _ = heedful("bench", "attention")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    described = "dtype bf16, density 0.5, mask causal, pass forward, threads 2"
    assert lines.index(f"dense: {described}") < lines.index(f"sweep: {described}")
    line = "2 x 3 x 5 x 7 x 4 1.5 (1 to 2) 6 4.00x (3.00 to 5.00) 2.0e-03 1.0e-03 75 %"
    assert lines.count(line) == 2
    words = " ".join(out.split())
    assert "us are slower than it" in words
    assert "matrix product of 2048^3, bf16, threads 2: 2 GFLOP/s (2 to 2)" in words
    assert "; heedful " in words
    assert ", torch " in words


@pytest.mark.parametrize(
    "what, words, message",
    [
        ("attention", ("--cases", "dens"), "cases must be among dense, "),
        ("attention", ("--threads", "-1,x"), "threads must be whole numbers, got 'x'"),
        ("attention", ("--threads", "2,0"), "threads must be at least 1 and at most 4096, got 0"),
        ("attention", ("--threads", "99999999999"), "at most 4096, got 99999999999"),
        ("attention", ("--seconds", "inf"), "less than or equal to"),
        (
            "attention",
            ("--lengths", "8"),
            "--lengths must go with `heedful bench mechanisms`, got attention",
        ),
        ("attention", ("-o", "x.html"), "--output must go with `heedful bench mechanisms`"),
        ("mechanisms", ("--flex",), "--flex must go with `heedful bench attention`"),
        ("mechanisms", ("--cases", "dense"), "--cases must go with `heedful bench attention`"),
    ],
)
def test_usage_of_both(heedful, measured, what, words, message):
    code, out, err = heedful("bench", what, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert measured == []
