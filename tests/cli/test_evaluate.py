import json
from pathlib import Path

import pytest


def test_json_is_the_report_and_nothing_else(heedful, library):
    code, out, err = heedful("evaluate", "runs/x", "--split", "dev", "--beam", "3", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(library.report | {"split": "dev"}))
    assert "日期" in out
    assert err == "evaluating runs/x on the dev split\n"
    assert library.evaluate == [(Path("runs/x"), "dev", 3)]


def test_people_get_tables(heedful, library):
    code, out, _ = heedful("evaluate", "runs/x")
    assert code == 0
    assert library.evaluate == [(Path("runs/x"), "test", None)]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "runs/x: 1,234 test examples" in rows
    for row in ("exact match 41.2 39.0 to 43.5", "bleu 61.0 60.0 to 62.5", "日期 17 33.0 44.0"):
        assert row in rows
    assert "9,876 tokens/s, 6.5 s, 321 MiB at most" in rows
    library.report["peak_memory_mib"] = None  # as on Windows
    assert "6.5 s, memory unknown here" in " ".join(heedful("evaluate", "runs/x")[1].split())


def test_warnings_of_the_report_are_shown(heedful, library):
    library.report["cut"] = 78
    assert "78 translations had not ended where" in heedful("evaluate", "runs/x")[1]


@pytest.mark.parametrize(
    "words, message",
    [(("--split", "train"), "'train'"), (("--beam", "0"), "greater than or equal to 1")],
)
def test_usage(heedful, library, words, message):
    code, _, err = heedful("evaluate", "runs/x", *words)
    assert code == 2
    assert message in err
