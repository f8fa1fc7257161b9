"""How much work an optimisation may take."""

from dataclasses import dataclass
from typing import Literal, get_args

from heedful.errors import ConfigError

Goal = Literal["latency", "memory", "macs"]
SEEDS = 2**32  # what every generator takes, also with the number of a round added


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How far and how carefully to search.

    Args:
        goal: What is to be saved: measured time, memory (weights and cached keys and values), or
            multiply-adds.
        trials: Whole candidates that may be evaluated, over all rounds.
        rounds: How often attention may be cut.
        cut: Which share of what attention costs, where it can be cut still, each round takes away.
        bearable: How far from the original the outputs may be after a round for another to follow,
            as `divergence` measures it.
        finalists: How many candidates of a round are healed, to be ranked after healing.
        finalist_steps: Steps of healing before finalists are ranked.
        heal_steps: Steps of healing at the end of a round.
        final_steps: Steps of healing at the end of the search.
        finals: How many candidates are healed for so long, at most.
        minutes: No round begins after so long, and no second healing for long; `None` means no
            limit.
        seed: Of everything that is drawn. At least 0 and below 2^32.

    Raises:
        ConfigError: A number is out of range, or there is no such goal.
    """

    goal: Goal = "latency"
    trials: int = 96
    rounds: int = 2
    cut: float = 0.37
    bearable: float = 0.5
    finalists: int = 2
    finalist_steps: int = 25
    heal_steps: int = 150
    final_steps: int = 3000
    finals: int = 3
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.goal not in get_args(Goal):
            raise ConfigError(f"goal must be one of {', '.join(get_args(Goal))}, got {self.goal!r}")
        for name in ("trials", "rounds", "finalists"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.cut < 1:
            raise ConfigError(f"cut must be above 0 and below 1, got {self.cut}")
        for name in ("finalist_steps", "heal_steps", "final_steps", "finals"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.bearable > 0:
            raise ConfigError(f"bearable must be above 0, got {self.bearable}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes must be above 0, got {self.minutes}")
        check_seed(self.seed)


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator would not take.

    Raises:
        ConfigError: It is negative, or too large.
    """
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed must be at least 0 and below {SEEDS}, got {seed}")
