"""What every reader returns: examples in three splits."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from heedful.errors import DataError

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


def dev_count(asked: int | None, have: int, *, most: int) -> int:
    """Return how many training examples become the dev split: a tenth where nobody says it.

    Args:
        asked: By the config.
        have: Examples that there are.
        most: Of those that nobody asked for: more would make no better choice of a checkpoint.
    """
    return max(1, min(most, round(have / 10))) if asked is None else asked


def take_dev(labels: Sequence[str], order: Sequence[int], count: int, *, what: str) -> list[int]:
    """Return the rows of a dev split that is taken out of training examples.

    Args:
        labels: Of all rows.
        order: The rows that may be taken, the first ones first.
        count: How many.
        what: An example, in a word.

    Returns:
        The first ones of them that leave one of each label to learn from.

    Raises:
        DataError: There are not as many.
    """
    left, taken = Counter(labels[row] for row in order), list[int]()
    for row in order:
        if len(taken) < count and left[labels[row]] > 1:
            taken.append(row)
            left[labels[row]] -= 1
    if len(taken) < count:
        raise DataError(
            f"the dev split must leave {what} of each label to learn from, "
            f"got data.dev = {count:,} of {len(order):,} with {len(left):,} labels"
        )
    return taken


def check_label(place: str, label: str, known: Container[str] | None) -> None:
    """Refuse a label that no example of the training split has.

    Args:
        place: Where it stands: `file:line`, or a file.
        label: What stands there.
        known: All labels that there may be; `None` means any.

    Raises:
        DataError: It is another one.
    """
    if known is not None and label not in known:
        raise DataError(f"{place} must have a label of the training split, got {label!r:.80}")


def check_sizes(train: Sequence[int], test: Sequence[int], *, what: str = "images") -> None:
    """Refuse, before anything is learned, images that could not be judged on afterwards.

    Args:
        train: Height, width and channels of images of the training.
        test: Those of the test split.
        what: They are.

    Raises:
        DataError: They differ.
    """
    if tuple(train) != tuple(test):
        raise DataError(
            f"{what} of data.test must be as large as those of data.train, {tuple(train)}, "
            f"got {tuple(test)}"
        )
