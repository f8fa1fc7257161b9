"""How much work an optimisation may take."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from heedful.errors import ConfigError
from heedful.renamed import old_keywords, old_names

Goal = Literal["latency", "memory", "macs"]
COUNTED: dict[Goal, str] = {"latency": "cost", "memory": "memory", "macs": "multiply-adds"}
Loadable = Literal["heedful", "transformers"]
STORED = {"max_divergence": "bearable", "finetune_steps": "heal_steps"}  # as journals name them
SEEDS = 2**32  # what every generator takes, also with the number of a round added


@old_keywords(bearable="max_divergence", heal_steps="finetune_steps")
@dataclass(frozen=True, kw_only=True)
class OptimizeSettings:
    """How far and how carefully to search.

    Args:
        goal: What is to be saved: measured time, memory (weights and cached keys and values), or
            multiply-adds.
        trials: Whole candidates that may be evaluated, over all rounds.
        rounds: How often attention may be cut.
        cut: Which share of what attention costs, where it can be cut still, each round takes away.
        max_divergence: How far from the original the outputs may be after a round for another to
            follow, as `divergence` measures it.
        finalists: How many candidates of a round are fine-tuned, to be ranked after fine-tuning.
        finalist_steps: Steps of fine-tuning before finalists are ranked.
        finetune_steps: Steps of fine-tuning at the end of a round.
        final_steps: Steps of fine-tuning at the end of the search.
        finals: How many candidates are fine-tuned for so long, at most.
        minutes: For all of it, measuring, fine-tuning and the verdict included: what was verified
            by then is the answer. `None` means no limit.
        seed: Of everything that is drawn. At least 0 and below 2^32.
        loadable: By whom the result can be opened: "transformers" takes what its own config says of
            a model of transformers, the same at every site, and writes a plain checkpoint.

    Raises:
        ConfigError: A number is out of range, or there is no such goal or nobody of that name.
    """

    goal: Goal = "latency"
    trials: int = 64
    rounds: int = 2
    cut: float = 0.37
    max_divergence: float = 0.5
    finalists: int = 2
    finalist_steps: int = 25
    finetune_steps: int = 100
    final_steps: int = 3000
    finals: int = 3
    minutes: float | None = None
    seed: int = 0
    loadable: Loadable = "heedful"

    def __post_init__(self) -> None:
        if self.loadable not in get_args(Loadable):
            known = ", ".join(get_args(Loadable))
            raise ConfigError(f"loadable must be one of {known}, got {self.loadable!r}")
        if self.goal not in get_args(Goal):
            raise ConfigError(f"goal must be one of {', '.join(get_args(Goal))}, got {self.goal!r}")
        for name in ("trials", "rounds", "finalists"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.cut < 1:
            raise ConfigError(f"cut must be above 0 and below 1, got {self.cut}")
        for name in ("finalist_steps", "finetune_steps", "final_steps", "finals"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.max_divergence > 0:
            raise ConfigError(f"max_divergence must be above 0, got {self.max_divergence}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes must be above 0, got {self.minutes}")
        check_seed(self.seed)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, by the names of older versions: a search must go on in a newer one."""
        found = {STORED.get(name, name): value for name, value in asdict(self).items()}
        if self.loadable == "heedful":
            del found["loadable"]  # which older ones do not know
        return found


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator would not take.

    Raises:
        ConfigError: It is negative, or too large.
    """
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed must be at least 0 and below {SEEDS}, got {seed}")


__getattr__ = old_names(__name__, Settings=OptimizeSettings)
