"""What a search wants: a quality that must be kept, and a cost that should become small."""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError

Cost = Literal["macs", "latency", "parameters"]
COSTS: tuple[str, ...] = get_args(Cost)
UNITS = {
    "macs": "MACs of attention",
    "latency": "ms a phrase",
    "parameters": "parameters",
}
PER_CENT = ("chrf", "exact_match", "bleu", "token_accuracy")
METRICS = (*PER_CENT, "dev_loss")


@dataclass(frozen=True, kw_only=True)
class Keep:
    """A limit that the quality on the dev split must keep: an absolute one, not a difference.

    Args:
        metric: One of `METRICS`; all but `dev_loss` are per cent, and higher is better.
        limit: The worst that is still fine.

    Raises:
        ConfigError: The metric is unknown, or can never reach the limit.
    """

    metric: str
    limit: float

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(unknown_choice("metric", METRICS, self.metric))
        if not math.isfinite(self.limit):
            raise ConfigError(f"limit must be a finite number, got {self.limit}")
        if self.limit < 0:
            raise ConfigError(f"limit must be at least 0, got {self.limit:g}")
        if self.higher_is_better and self.limit > 100:
            raise ConfigError(f"limit must be at most 100 per cent, got {self.limit:g}")

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return self.metric in PER_CENT

    def missed_by(self, quality: float) -> float:
        """Return by how much a quality misses the limit; 0 and less mean that it is kept."""
        return self.limit - quality if self.higher_is_better else quality - self.limit

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.higher_is_better else '<='} {self.limit:g}"


def parse_keep(text: str) -> Keep:
    """Read a limit like `chrf >= 95` or `dev_loss <= 0.4`.

    Raises:
        ConfigError: It does not look like that, or compares the wrong way round.
    """
    found = re.fullmatch(r"\s*([\w.-]+)\s*(>=|<=)\s*(\S+)\s*", text)
    if found is None:
        raise ConfigError(f"keep must look like 'chrf >= 95' or 'dev_loss <= 0.4', got {text!r}")
    metric, comparison, number = found.groups()
    try:
        limit = float(number)
    except ValueError:
        raise ConfigError(f"keep must have a number behind {comparison}, got {number!r}") from None
    keep = Keep(metric=metric, limit=limit)
    if keep.higher_is_better != (comparison == ">="):
        better = "higher" if keep.higher_is_better else "lower"
        raise ConfigError(f"keep must be '{keep}', because {better} is better, got {text!r}")
    return keep


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The least of one cost at which a quality is kept.

    Args:
        keep: The quality that must be kept.
        cost: What should become small: `macs` of attention, `latency`, or `parameters`.
        length: Tokens of the source and of the translation for which `macs` are counted.

    Raises:
        ConfigError: The cost is unknown or the length is below 1.
    """

    keep: Keep
    cost: Cost = "macs"
    length: int = 64

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ConfigError(unknown_choice("cost", COSTS, self.cost))
        if self.length < 1:
            raise ConfigError(f"length must be at least 1, got {self.length}")

    @property
    def unit(self) -> str:
        """What the cost is counted in."""
        return UNITS[self.cost]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for `goal_from_json`."""
        return {"keep": str(self.keep), "cost": self.cost, "length": self.length}


def goal_from_json(plain: dict[str, Any]) -> Goal:
    """Return what `Goal.to_json` wrote."""
    return Goal(keep=parse_keep(plain["keep"]), cost=plain["cost"], length=plain["length"])
