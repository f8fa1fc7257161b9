"""What came of optimising the model of a task, as one row of a table."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heedful.errors import BudgetError, DataError, UnsupportedError
from heedful.files import read_json
from heedful.optimizing.outcome import REPORT, summary_of
from heedful.optimizing.run_folder import optimize_run
from heedful.optimizing.settings import OptimizeSettings
from heedful.training.run import Run


@dataclass(frozen=True, kw_only=True)
class OptimizedRow:
    """What came of optimising one run.

    Args:
        task: As in a config.
        budget: What could be lost.
        accepted: Is there a faster model that keeps the budget?
        reason: Why, in a sentence or two.
        before: The metric of the original; `None` where it did not come to a verdict.
        after: That of the optimised model.
        speedup: How many times faster the work is.
    """

    task: str
    budget: str
    accepted: bool
    reason: str
    before: float | None = None
    after: float | None = None
    speedup: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def optimize_task(
    run: Run, budget: str, output: Path, *, settings: OptimizeSettings | None = None
) -> OptimizedRow:
    """Optimise a run; that nothing was found is a row too.

    Args:
        run: Of any task.
        budget: What may be lost, e.g. `accuracy 1`.
        output: A folder that is not there yet.
        settings: How far to search. `None` means `OptimizeSettings()`.
    """
    name = run.config.task
    try:
        report = optimize_run(run, lose=budget, output=output, settings=settings).report
    except BudgetError as refused:
        if not (output / REPORT).exists():
            return OptimizedRow(task=name, budget=budget, accepted=False, reason=str(refused))
        report = read_json(output / REPORT)
    except (DataError, UnsupportedError) as refused:
        return OptimizedRow(task=name, budget=budget, accepted=False, reason=str(refused))
    found = summary_of(report)
    return OptimizedRow(
        task=name,
        budget=budget,
        accepted=found["accepted"],
        reason=found["reason"],
        before=found["quality"]["before"],
        after=found["quality"]["after"],
        speedup=found["speedup"],
    )
