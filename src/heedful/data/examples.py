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


def take_dev(
    labels: Sequence[str], order: Sequence[int], count: int | None, *, most: int, what: str
) -> tuple[list[int], list[int]]:
    """Take a dev split out of training examples; one of each label is left to learn from.

    Args:
        labels: Of all rows.
        order: The rows that may be taken, the first ones first.
        count: How many; `None` means a tenth of them.
        most: Of that tenth: more would make no better choice of a checkpoint.
        what: An example, in a word.

    Returns:
        The rows that are left, in order of their numbers, and those that are taken.

    Raises:
        DataError: There are not as many.
    """
    wanted = max(1, min(most, round(len(order) / 10))) if count is None else count
    left, taken = Counter(labels[row] for row in order), list[int]()
    for row in order:
        if len(taken) < wanted and left[labels[row]] > 1:
            taken.append(row)
            left[labels[row]] -= 1
    if len(taken) < wanted:
        raise DataError(
            f"the dev split must leave {what} of each label to learn from, "
            f"got {wanted:,} of {len(order):,} with {len(left):,} labels"
        )
    return sorted({*order} - {*taken}), taken


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
