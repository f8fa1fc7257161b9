"""An optimisation of a task is a row, whatever came of it."""

import pytest

from heedful.errors import BudgetError, DataError, UnsupportedError
from heedful.files import write_json
from heedful.optimizing import of_tasks
from heedful.optimizing.of_tasks import OptimizedRow, optimize_task
from heedful.optimizing.outcome import QUALITY, REPORT, SUMMARY

QUALITIES = {name: None for name in QUALITY} | {"before": 90.0, "after": 89.5}
SAID = {name: None for name in SUMMARY} | {"quality": QUALITIES, "speedup": 1.25}


@pytest.fixture
def answer(monkeypatch, digit_run, tmp_path):
    def answered(outcome):
        def optimized(run, *, lose, output, settings):
            assert (run, lose) == (digit_run, "loss 9")
            return outcome(output)

        monkeypatch.setattr(of_tasks, "optimize_run", optimized)
        return optimize_task(digit_run, "loss 9", tmp_path / "out")

    return answered


def test_what_was_accepted_has_its_numbers(answer):
    report = {**SAID, "accepted": True, "reason": "faster"}
    row = answer(lambda output: type("Outcome", (), {"report": report}))
    assert row.to_json() == {
        **{"task": "translation", "budget": "loss 9", "accepted": True, "reason": "faster"},
        **{"before": 90.0, "after": 89.5, "speedup": 1.25},
    }


@pytest.mark.parametrize("error", [BudgetError, DataError, UnsupportedError])
def test_what_cannot_be_optimised_says_why(answer, error):
    def refused(output):
        raise error("that is why")

    row = answer(refused)
    assert row == OptimizedRow(
        task="translation", budget="loss 9", accepted=False, reason="that is why"
    )


def test_a_refusal_after_a_verdict_has_numbers(answer):
    def refused(output):
        output.mkdir()
        write_json(output / REPORT, {**SAID, "accepted": False, "reason": "not faster"})
        raise BudgetError("not faster")

    row = answer(refused)
    assert (row.accepted, row.reason, row.speedup) == (False, "not faster", 1.25)
