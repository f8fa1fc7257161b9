"""A text cut into passages: read or made, and made ready for batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heedful.data.batches import MULTIPLE, rounded
from heedful.data.examples import Splits
from heedful.data.plain_text import read_text
from heedful.data.ragged import Ints, Ragged
from heedful.data.tokens import PAD
from heedful.errors import DataError
from heedful.tasks.generate_text.config import ReferenceData, TextData

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Data = ReferenceData | TextData
UNKNOWN = -100  # stands for a token that is read and not predicted


@dataclass(frozen=True)
class Passage:
    """A piece of a text.

    Args:
        text: What is predicted, or the end of what a user wants to be gone on with.
        before: What is read before it.
    """

    text: str
    before: str = ""


@dataclass(frozen=True)
class Batch:
    """Padded tokens; each truth is the token after one that is read.

    Args:
        tokens: What is read.
        truth: What follows, -100 where that is not predicted.
        characters: That the predicted tokens of each row stand for.
    """

    tokens: "Tensor"
    truth: "Tensor"
    characters: "Tensor"


class Windows:
    """Passages made ready. While training, windows of the text that they were cut from.

    Args:
        before: Tokens that are read.
        text: Tokens that are predicted.
        characters: Of each text.
        context: Tokens of a window in training; `None` where nobody trains.
    """

    def __init__(
        self, before: Ragged, text: Ragged, characters: Ints, *, context: int | None = None
    ) -> None:
        self.before, self.text, self.characters = before, text, characters
        self.context = len(text.flat) if context is None else context
        lengths = before.lengths + text.lengths
        # an epoch is as many windows as there are passages
        self.amounts: Ints = text.lengths if context is None else np.full_like(lengths, context)
        self.sizes: Ints = (rounded(lengths) if context is None else self.amounts)[:, None]

    def __len__(self) -> int:
        return len(self.text)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> Batch:
        """Return these passages; while training as many windows, from anywhere in the text."""
        import torch

        whole = self._passages(rows) if random is None else self._windows(len(rows), random)
        return Batch(*(torch.from_numpy(array).to(device) for array in whole))

    def fingerprint(self) -> list[int]:
        """Return one number for each column."""
        return [self.before.fingerprint(), self.text.fingerprint()]

    def tokens(self, row: int) -> list[int]:
        """Return all tokens of a passage."""
        ends = [(part.starts[row], part.starts[row + 1], part) for part in (self.before, self.text)]
        return [int(token) for start, end, part in ends for token in part.flat[start:end]]

    def _passages(self, rows: Sequence[int]) -> tuple[Ints, Ints, Ints]:
        found = Ragged.pack([self.tokens(row) for row in rows])
        tokens, lengths = found.padded(range(len(rows)), pad=PAD, multiple=MULTIPLE)
        place = np.arange(tokens.shape[1])
        first = self.before.lengths[list(rows)]
        predicted = (place >= np.maximum(first, 1)[:, None]) & (place < lengths[:, None])
        truth = np.where(predicted, tokens, UNKNOWN)
        return tokens[:, :-1], truth[:, 1:], self.characters[list(rows)]

    def _windows(self, count: int, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        flat = self.text.flat
        context = min(self.context, len(flat) - 1)
        starts = random.integers(len(flat) - context, size=count)
        found = flat[starts[:, None] + np.arange(context + 1)].astype(np.int64)
        return found[:, :-1], found[:, 1:], np.ones(count, np.int64)


def read_splits(data: Data) -> Splits[Passage]:
    """Read or make a text, and cut it: what is learned first, held-out passages behind it.

    Raises:
        DataError: A file cannot be used, or is too short to be cut.
    """
    if isinstance(data, ReferenceData):
        from heedful.data.python_reference import python_reference

        whole, others = python_reference(), {"dev": "", "test": ""}
    else:
        whole = read_text(data.train)
        paths = {"dev": data.dev, "test": data.test}
        others = {name: read_text(path) if path else "" for name, path in paths.items()}
        _check_apart(data, whole, others)
    shares = [0.0 if others[name] else getattr(data, f"{name}_share") for name in others]
    sizes = [round(len(whole) * share) for share in shares]
    borders = [len(whole) - sum(sizes), len(whole) - sizes[1]]
    parts = (whole[: borders[0]], whole[borders[0] : borders[1]], whole[borders[1] :])
    train, dev, test = (
        cut(part or other, length=data.passage, before=data.before)
        for part, other in zip(parts, ("", *others.values()), strict=True)
    )
    for name, found in (("train", train), ("dev", dev)):
        if not found:
            raise DataError(
                f"the {name} split must have two characters or more, "
                f"got a text of {len(whole)} characters in all"
            )
    return Splits(train, dev, test)


def cut(text: str, *, length: int, before: int) -> list[Passage]:
    """Cut a text into passages, between words where there are any; together they are the text.

    The first one is read and not predicted as far as its first character.

    Args:
        text: Of any length.
        length: Characters of a passage, at most.
        before: Characters that are read before it, at most.
    """
    found: list[Passage] = []
    start = 0
    while start < len(text):
        end = start + length
        if end < len(text):
            places = [text.rfind(space, start + 1, end + 1) for space in (" ", "\n")]
            end = max(places) if max(places) > start + length // 2 else end
        found.append(Passage(text[start:end], text[max(start - before, 0) : start]))
        start = end
    if len(text) < 2:
        return []
    return found


def _check_apart(data: TextData, whole: str, others: dict[str, str]) -> None:
    """Raise where a held-out file stands in another one, word for word."""
    named = {"train": (data.train, whole)}
    for name, text in others.items():
        for other, (path, known) in named.items():
            if text and text.strip() in known:
                raise DataError(
                    f"data.{name} must be another text than data.{other}, "
                    f"got {getattr(data, name)}, which stands in {path}"
                )
        named[name] = (getattr(data, name), text)
