"""A budget, read before anything is trained, searched or written."""

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
