"""What every reader returns: examples in three splits."""

from dataclasses import dataclass
from typing import Generic, TypeVar

SomeExample = TypeVar("SomeExample")


@dataclass(frozen=True, slots=True)
class Example:
    """One text and its translation.

    Args:
        source: What is read.
        target: What should be written.
        kind: What sort of example this is, for scores by kind. Empty when unknown.
    """

    source: str
    target: str
    kind: str = ""


@dataclass(frozen=True)
class Splits(Generic[SomeExample]):
    """Examples to learn from, to choose with, and to report on once.

    Args:
        train: What the model learns from.
        dev: What settings are chosen with.
        test: What is reported. Empty when the data has no such split.
    """

    train: list[SomeExample]
    dev: list[SomeExample]
    test: list[SomeExample]
