"""An outcome is saved whole when it was accepted, and as a report when not."""

import json
from dataclasses import replace

import pytest

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.errors import BudgetError, RunError
from heedful.optimizing.outcome import QUALITY, SUMMARY, Outcome, summary_of

KEYS = (
    *("accepted", "reason", "quality", "speedup", "latency_ms", "attention_operations"),
    *("parameters", "seconds", "plan"),
)
REPORT = dict.fromkeys(KEYS, 1) | {
    "quality": {"metric": "字", "before": 1, "after": 2, "bound": 3, "budget": 4, "split": "test"},
    "sites": [],
}


@pytest.fixture
def outcome(kit):
    plan = Plan(moves={"own.0": (KeepHeads(heads=(2,)),)})
    return Outcome(
        accepted=True,
        reason="good enough",
        model=plan.apply(kit.planted()),
        plan=plan,
        verdict=None,
        report=dict(REPORT),
    )


def test_the_summary_is_what_machines_were_promised(outcome):
    assert SUMMARY == KEYS
    assert QUALITY == ("metric", "before", "after", "bound", "budget")
    assert outcome.summary == summary_of(REPORT)
    assert list(outcome.summary) == list(KEYS)
    assert list(outcome.summary["quality"]) == list(QUALITY)
    assert outcome.report == REPORT


def test_an_accepted_one_is_saved_whole(outcome, tmp_path):
    outcome.save(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = ("model.safetensors", "plan.toml", "model.json", "report.json", "manifest.json")
    assert names == {*files}
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == REPORT


def test_of_a_refused_one_only_the_report(outcome, tmp_path):
    refused = replace(outcome, accepted=False, reason="too bad")
    with pytest.raises(BudgetError, match=r"^too bad$"):
        refused.save(str(tmp_path / "a" / "out"))
    assert [path.name for path in (tmp_path / "a" / "out").iterdir()] == ["report.json"]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_place_that_cannot_be_written_is_an_error(outcome, tmp_path, accepted):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="out must be writable, got: Not a directory"):
        replace(outcome, accepted=accepted).save(tmp_path / "file" / "out")


@pytest.mark.parametrize("accepted", [True, False])
def test_nothing_is_overwritten(outcome, tmp_path, accepted):
    (tmp_path / "report.json").write_text("of another model")
    with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
        replace(outcome, accepted=accepted).save(tmp_path)
    assert (tmp_path / "report.json").read_text() == "of another model"
