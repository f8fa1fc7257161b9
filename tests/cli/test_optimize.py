"""`heedful optimize`: what is handed on, what people and machines read, how it ends."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from heedful.cli._optimizing import OptimizingProgress, describe
from heedful.cli.optimize import show_outcome
from heedful.errors import BudgetError
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.settings import OptimizeSettings

LOSE = ("--lose", "chrf 0.5")
KEYS = [
    *("accepted", "reason", "quality", "speedup", "latency_ms", "attention_operations"),
    *("parameters", "seconds", "plan"),
]


def test_everything_is_handed_on(heedful, library, tmp_path):
    (tmp_path / "new.tsv").write_text("a\tb\n" * 600, encoding="utf-8")
    words = ("--for", "macs", "--trials", "7", "--minutes", "2", "--seed", "3", "-o", "out")
    assert heedful("optimize", "runs/x", *LOSE, *words, "--test", "new.tsv")[0] == 0
    (asked,) = library.optimize
    assert asked["test"] == Path("new.tsv")
    assert (asked["run"], asked["lose"], asked["output"]) == (
        Path("runs/x"),
        parse_lose(LOSE[1]),
        Path("out"),
    )
    assert asked["settings"] == OptimizeSettings(goal="macs", trials=7, minutes=2.0, seed=3)
    assert asked["clock"].limit == 120


def test_what_is_not_said_has_a_default(heedful, library):
    assert heedful("optimize", "runs/x", *LOSE)[0] == 0
    (asked,) = library.optimize
    assert asked["output"] == Path("runs/x-optimised")
    assert asked["test"] is None
    assert asked["settings"] == OptimizeSettings()


@pytest.mark.parametrize("older", ["chrf >= -0.5", "chrf>=-.5"])
def test_older_options_still_work_and_say_what_they_are_now(heedful, library, older):
    code, _, err = heedful("optimize", "runs/x", "--keep", older, "--heal", "7")
    (asked,) = library.optimize
    assert code == 0
    assert asked["lose"] == parse_lose("chrf 0.5")
    assert asked["settings"] == OptimizeSettings(final_steps=7)
    assert err.splitlines()[:2] == [
        f"heedful: --keep '{older}' is now --lose 'chrf 0.5'",
        "heedful: --heal is now --finetune-steps",
    ]
    assert "--keep" not in heedful("optimize", "--help")[1]


def test_json_is_the_summary_and_nothing_else(heedful, library):
    code, out, err = heedful("optimize", "runs/x", *LOSE, "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == KEYS
    assert list(found["quality"]) == ["metric", "before", "after", "bound", "budget"]
    report = library.optimized
    assert found == {key: report[key] for key in KEYS} | {"quality": found["quality"]}
    assert all(found["quality"][key] == report["quality"][key] for key in found["quality"])
    assert set(found["latency_ms"]) == {"before", "after"}
    assert "字" in out
    assert "round 1" in err


@pytest.mark.parametrize("output", [(), ("-o", "there")])
def test_a_refusal_leaves_with_3_and_its_json(heedful, library, output):
    library.refused = "it must be faster, got 0.9x"
    code, out, err = heedful("optimize", "runs/x", *LOSE, *output, "--json")
    assert code == 3
    assert list(json.loads(out)) == KEYS
    assert json.loads(out)["accepted"] is False
    assert err.endswith("heedful: it must be faster, got 0.9x\n")


def test_a_refusal_is_one_line_for_people(heedful, library):
    library.refused = "nothing keeps it"
    code, out, err = heedful("optimize", "runs/x", *LOSE)
    assert (code, out) == (3, "")
    assert err.splitlines()[-1] == "heedful: nothing keeps it"


def test_people_get_tables(heedful, library):
    code, out, err = heedful("optimize", "runs/x", *LOSE)
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    for row in (
        "chrf (test) 61.00 60.90 surely -0.3 or better, -0.5 allowed",
        "work, ms 1,200.0 600.0 2.00x faster",
        "attention operations 9,000 3,000 3.00x fewer",
        "parameters 5,000 4,000 1.25x fewer",
        "encoder.0 [a] 62% 4 x 8 1 x 8",
        "decoder.9 not adaptable: [/b] slopes",
        "chrf went from 61 to 60.9; 2.00x (1.9 to 2.1) faster.",
    ):
        assert row in rows
    assert "round 1: 61% of the cost, chrf -0.25: keeps the budget" in err
    assert "round 2: 40% of the cost, chrf -2.00: loses too much" in err
    assert "a note [/b]" in err


def test_where_nothing_was_judged_there_is_no_row_for_it(library, capsys):
    report = library.optimized
    quality = dict.fromkeys(("before", "after", "bound", "split")) | {"metric": "chrf"}
    operations = {"before": 9, "after": 0}
    show_outcome(report | {"quality": quality, "attention_operations": operations, "reason": "x."})
    out = capsys.readouterr().out
    assert "chrf" not in out
    assert out.splitlines()[-1] == "x."
    assert not re.search(r"operations.*fewer", out)


def test_the_original_trained_as_long_stands_beside_it(library, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    against = {"before": 99.7, "after": 99.19, "difference": -0.51, "bound": -0.82}
    trained = {"steps": 3325, "wanted": 3325, "against": against}
    for found, shown in ((trained, True), ("Nothing was fine-tuned.", False)):
        show_outcome(library.optimized | {"finetuned_original": found})
        rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
        row = "the original fine-tuned as long 99.70 99.19 -0.51, surely -0.82 or better"
        assert (row in rows) == shown


def test_on_a_terminal_something_moves(library, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with OptimizingProgress(terminal=True) as progress:
        for event in library.events:
            progress(event)
        progress._bar.refresh()
        text = progress._bar.tasks[0].description
    err = capsys.readouterr().err
    assert "round 1: 61%" in err
    assert text.endswith("fine-tuning \\[x]  (best so far: 61% of the cost)")


def test_without_one_a_share_is_told_now_and_then(library, capsys, monkeypatch):
    progress = OptimizingProgress(terminal=False)
    for event in library.events:
        progress(event)
    err = capsys.readouterr().err.splitlines()
    assert "0:00  measuring the original" in err
    assert not any("fine-tuning" in line for line in err)  # not ten seconds later
    progress._next_line = 0
    progress(library.events[-1])
    assert capsys.readouterr().err == "0:00  fine-tuning [x] 50%\n"


def test_a_candidate_without_a_verdict_can_be_told(library):
    event = next(event for event in library.events if hasattr(event, "candidate"))
    bare = replace(event, candidate=replace(event.candidate, verdict=None))
    assert describe(bare) == "round 1: 61% of the cost: keeps the budget"


@pytest.mark.parametrize(
    "slack, within, promise",
    [(0.2, True, "keeps the budget"), (-0.2, True, "may lose too much"), (-2, False, "loses too")],
)
def test_what_is_not_certain_is_not_said_to_be_lost(library, slack, within, promise):
    event = next(event for event in library.events if hasattr(event, "candidate"))
    seen = replace(event.candidate, slack=slack, within=within)
    assert f", chrf -0.25: {promise}" in describe(replace(event, candidate=seen))


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "--lose must say what may be lost, such as 'chrf 0.5', got nothing"),
        ((*LOSE, "--for", "speed"), "'speed' is not one of"),
        ((*LOSE, "--trials", "0"), "greater than or equal to 1"),
        ((*LOSE, "--minutes", "inf"), "less than or equal to"),
        ((*LOSE, "--minutes", "0"), "0.01"),
        ((*LOSE, "--seed", "-1"), "greater than or equal to 0"),
    ],
)
def test_usage(heedful, library, words, message, monkeypatch):
    monkeypatch.setenv("TYPER_USE_RICH", "0")
    code, out, err = heedful("optimize", "runs/x", *words)
    assert (code, out, library.optimize) == (2, "", [])
    assert message in err


def test_the_fake_raises_what_the_real_one_does(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    library.refused = "x"
    with pytest.raises(BudgetError):
        library.optimize_run(
            Path("r"), lose="x", output=None, test=None, settings=None, on_event=print
        )
