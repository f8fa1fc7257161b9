"""A budget, read and doubted before anything is trained, searched or written."""

from pathlib import Path
from typing import TYPE_CHECKING

from heedful.errors import ConfigError

if TYPE_CHECKING:
    from heedful.optimizing.budget import Budget


def check_budget(keep: str) -> "Budget":
    """Read a budget of a run.

    Raises:
        ConfigError: It cannot be read, its metric is unknown, or it compares the wrong way round.
    """
    from heedful.optimizing.budget import parse_budget
    from heedful.optimizing.of_run import METRICS

    budget = parse_budget(keep)
    if budget.metric not in METRICS:
        raise ConfigError(f"metric must be one of {', '.join(METRICS)}, got {budget.metric!r}")
    higher = budget.metric != "loss"
    if budget.margin and budget.higher_is_better != higher:
        better = "higher" if higher else "lower"
        raise ConfigError(
            f"the budget must know that {better} {budget.metric} is better, got {keep!r}"
        )
    return budget


def too_few(budget: "Budget", examples: int) -> str | None:
    """Say, before the work, when a test split is too small for what it is to show."""
    from heedful.optimizing.metric import TEXT_METRICS
    from heedful.optimizing.verdict import examples_needed

    if budget.metric not in TEXT_METRICS or budget.relative or not budget.margin:
        return None
    needed = examples_needed(budget.margin, span=100.0)
    if examples >= needed:
        return None
    return (
        f"{examples:,} test examples can hardly show that no more than {abs(budget.margin):g} "
        f"{budget.metric} is lost, about {needed:,} can: good candidates may be refused"
    )


def test_examples(run: Path, file: Path | None) -> int:
    """How many examples the verdict will rest on.

    Raises:
        RunError: The run is damaged.
        DataError: The file cannot be read.
    """
    from heedful.cli._runs import open_run
    from heedful.data.files import read_tsv

    found = open_run(run)
    return len(found.examples("test") if file is None else read_tsv(file))
