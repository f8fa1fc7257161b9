import json
from pathlib import Path

import pytest


def test_json_is_the_report_and_nothing_else(heedful, library):
    code, out, err = heedful("evaluate", "runs/x", "--split", "dev", "--beam", "3", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["split"] == "dev"
    assert (found["exact_match"], found["exact_match_interval"]) == (41.25, [39.0, 43.5])
    assert (found["tokens_per_second"], found["beam"], found["cut"]) == (9876.0, 1, 0)
    assert "日期" in out
    assert err == "evaluating runs/x on the dev split\n"
    assert library.evaluate == [(Path("runs/x"), "dev", ["decode.beam=3"])]


def test_people_get_tables(heedful, library):
    code, out, _ = heedful("evaluate", "runs/x")
    assert code == 0
    assert library.evaluate == [(Path("runs/x"), "test", [])]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "runs/x: 1,234 test examples" in rows
    assert "exact match 41.2 % 39.0 to 43.5" in rows
    assert "bleu 61.0 % 60.0 to 62.5" in rows
    assert "loss (lower is better) 0.512 0.500 to 0.525" in rows
    assert "日期 17 33.0 44.0 0.250" in rows
    assert "9,876 tokens/s, 6.5 s, 321 MiB at most" in rows
    library.report["peak_memory_mib"] = None  # as on Windows
    assert "6.5 s, memory unknown here" in " ".join(heedful("evaluate", "runs/x")[1].split())


def test_a_report_without_kinds_has_one_table(heedful, library):
    library.report |= {"by_kind": {}, "run": "runs/[/b]"}
    out = heedful("evaluate", "runs/x")[1]
    assert "kind" not in out
    assert "runs/[/b]: 1,234 test examples" in out


def test_remarks_of_the_report_are_shown(heedful, library):
    assert "translations had not ended" not in heedful("evaluate", "runs/x")[1]
    library.report["remarks"] = {"cut": 78, "strange": 2}
    out = heedful("evaluate", "runs/x")[1]
    assert "78 translations had not ended where" in out
    assert "2 strange" in out  # which the task has no words for


def test_settings_and_the_users_task_come_through(heedful, library):
    words = ("--set", "decode.beam=2", "--set", "decode.batch=7", "--task-from", "mine:Task")
    assert heedful("evaluate", "runs/x", *words)[0] == 0
    assert library.evaluate == [(Path("runs/x"), "test", ["decode.beam=2", "decode.batch=7"])]
    assert library.task_from == "mine:Task"


@pytest.mark.parametrize(
    "words, message",
    [(("--split", "train"), "'train'"), (("--beam", "0"), "greater than or equal to 1")],
)
def test_usage(heedful, library, words, message):
    code, _, err = heedful("evaluate", "runs/x", *words)
    assert code == 2
    assert message in err
