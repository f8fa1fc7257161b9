"""What a search wants: a quality that must be kept, and a cost that should become small."""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError
from heedful.tasks.base import Task
from heedful.tasks.catalog import AnyTask

Cost = Literal["macs", "latency", "parameters"]
COSTS: tuple[str, ...] = get_args(Cost)
UNITS = {
    "macs": "MACs of attention an example",
    "latency": "ms an example",
    "parameters": "parameters",
}
LOSS = "dev_loss"  # the score of every task that has a loss and no scores of its own


@dataclass(frozen=True, kw_only=True)
class Keep:
    """A limit that the quality on the dev split must keep: an absolute one, not a difference.

    Args:
        metric: One of the task's, or a score that its training measures on the dev split.
        limit: The worst that is still fine.
        higher_is_better: Whether more of it is better.

    Raises:
        ConfigError: The limit is no finite number.
    """

    metric: str
    limit: float
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit):
            raise ConfigError(f"limit must be a finite number, got {self.limit}")

    def missed_by(self, quality: float) -> float:
        """Return by how much a quality misses the limit; 0 and less mean that it is kept."""
        return self.limit - quality if self.higher_is_better else quality - self.limit

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.higher_is_better else '<='} {self.limit:g}"


def parse_keep(text: str) -> Keep:
    """Read a limit like `chrf >= 95` or `dev_loss <= 0.4`.

    Raises:
        ConfigError: It does not look like that.
    """
    found = re.fullmatch(r"\s*([\w.-]+)\s*(>=|<=)\s*(\S+)\s*", text)
    if found is None:
        raise ConfigError(f"keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got {text!r}")
    metric, comparison, number = found.groups()
    try:
        limit = float(number)
    except ValueError:
        raise ConfigError(f"keep must have a number behind {comparison}, got {number!r}") from None
    return Keep(metric=metric, limit=limit, higher_is_better=comparison == ">=")


def check_keep(keep: Keep, task: AnyTask) -> None:
    """Check that a task can be held to a limit.

    Args:
        keep: The limit.
        task: Whose metrics and scores there are.

    Raises:
        ConfigError: It has no such metric, which can never reach the limit, or is better the other
            way round.
    """
    metric = task.metric(keep.metric)
    if metric is not None:
        higher = metric.higher_is_better
    elif keep.metric == task.monitor:
        higher = task.monitor_is_better_higher()
    elif keep.metric == LOSS and task.loss is not Task.loss:
        higher = False
    else:
        raise ConfigError(unknown_choice("metric", _scores_of(task), keep.metric))
    if higher != keep.higher_is_better:
        right = Keep(metric=keep.metric, limit=keep.limit, higher_is_better=higher)
        better = "higher" if higher else "lower"
        raise ConfigError(f"keep must be '{right}', because {better} is better, got '{keep}'")
    if metric is None or not higher or metric.floor is None or metric.span is None:
        return
    low, high = metric.floor, metric.floor + metric.span
    if not low <= keep.limit <= high:
        unit = f" {metric.unit}" if metric.unit else ""
        raise ConfigError(f"limit must be from {low:g} to {high:g}{unit}, got {keep.limit:g}")


def _scores_of(task: AnyTask) -> list[str]:
    loss = [LOSS] if task.loss is not Task.loss else []
    return list(dict.fromkeys([*(metric.name for metric in task.metrics), task.monitor, *loss]))


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The least of one cost at which a quality is kept.

    Args:
        keep: The quality that must be kept.
        cost: What should become small: `macs` of attention, `latency`, or `parameters`.

    Raises:
        ConfigError: The cost is unknown.
    """

    keep: Keep
    cost: Cost = "macs"

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ConfigError(unknown_choice("cost", COSTS, self.cost))

    @property
    def unit(self) -> str:
        """What the cost is counted in."""
        return UNITS[self.cost]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for `goal_from_json`."""
        return {"keep": str(self.keep), "cost": self.cost}


def goal_from_json(plain: dict[str, Any]) -> Goal:
    """Return what `Goal.to_json` wrote."""
    return Goal(keep=parse_keep(plain["keep"]), cost=plain["cost"])
