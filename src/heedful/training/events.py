"""What a training tells whoever listens; plain data, nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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


Event = Started | Step | Evaluated | Finished | Message
