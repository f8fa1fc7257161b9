"""What a training tells whoever listens; plain data, nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.training.alarms import Alarm

if TYPE_CHECKING:
    from heedful.probing.dispersion import HeadDispersion


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run folder exists and the first step is about to be taken."""

    run: Path
    parameters: int
    precision: str
    examples: dict[str, int]  # by split
    skipped: int  # examples left out of training and of dev scores because they are too long


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where the training stands; rates are means since the event before."""

    step: int
    fraction: float  # of the whole training
    loss: float
    learning_rate: float
    per_second: float  # how many of `unit`
    unit: str
    seconds: float  # since the training began, over all resumes
    remaining: float  # seconds, estimated
    values: Mapping[str, float] = field(default_factory=dict[str, float])  # what else was told


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The dev split was measured."""

    step: int
    fraction: float
    scores: Mapping[str, float]  # by name, e.g. dev_loss
    best: bool


@dataclass(frozen=True, kw_only=True)
class Watched:
    """How heads spread their attention over the first examples of the dev split."""

    step: int
    fraction: float
    heads: "tuple[HeadDispersion, ...]"
    alarms: tuple[Alarm, ...]
    entropies: tuple[float, ...]  # normalised, mean over heads, of all evaluations so far

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data: a line of the log."""
        return {
            "step": self.step,
            "fraction": self.fraction,
            "heads": [head.to_json() for head in self.heads],
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }

    def scalars(self) -> dict[str, float]:
        """Return a number for each head under the name of its curve."""
        shown = ("normalised_entropy", "effective_keys", "sink_mass", "largest_score")
        return {
            f"attention/{name}/{head.site}/{head.head}": value
            for head in self.heads
            for name in shown
            if (value := getattr(head, name)) is not None
        }


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The training is over and its best model is in the run folder."""

    run: Path
    step: int
    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """Something the user should read."""

    text: str


Event = Started | Step | Evaluated | Watched | Finished | Message
