"""What a training tells whoever listens; plain data, nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run folder exists and the first step is about to be taken."""

    run: Path
    parameters: int
    precision: str
    examples: dict[str, int]  # by split
    skipped: int  # pairs left out of training and of the dev loss because they are too long


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where the training stands; rates are means since the event before."""

    step: int
    fraction: float  # of the whole training
    loss: float
    learning_rate: float
    tokens_per_second: float
    seconds: float  # since the training began, over all resumes
    remaining: float  # seconds, estimated


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The dev split was measured."""

    step: int
    fraction: float
    dev_loss: float
    token_accuracy: float  # share, from 0 to 1
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
