"""Texts of different lengths in one array, so that a batch is cut out without a Python loop."""

import itertools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Token numbers of many texts in a row; text `i` is `flat[starts[i]:starts[i + 1]]`."""

    flat: NDArray[np.int32]
    starts: Ints

    @staticmethod
    def pack(texts: Sequence[Sequence[int]]) -> "Ragged":
        """Store `texts`."""
        lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        tokens = (token for text in texts for token in text)
        return Ragged(np.fromiter(tokens, np.int32, int(starts[-1])), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        """Tokens of each text."""
        return np.diff(self.starts)

    def lists(self) -> list[list[int]]:
        """Return each text by itself."""
        return [self.flat[a:b].tolist() for a, b in itertools.pairwise(self.starts)]

    def cut(self, longest: int | None) -> "Ragged":
        """Return the texts with no more than `longest` numbers: the first ones, and the last one.

        `None` leaves them as they are.
        """
        if longest is None or not (self.lengths > longest).any():
            return self
        texts = (self.flat[a:b] for a, b in itertools.pairwise(self.starts))
        return Ragged.pack(
            [[*t[: longest - 1], t[-1]] if len(t) > longest else t.tolist() for t in texts]
        )

    def padded(self, rows: Iterable[int], *, pad: int, multiple: int = 1) -> tuple[Ints, Ints]:
        """Return these texts as one matrix filled up with `pad`, and their lengths.

        The matrix is as wide as the longest text, rounded up to a `multiple`.
        """
        chosen = np.fromiter(rows, np.int64)
        lengths = self.lengths[chosen]
        column = np.arange(-(-lengths.max(initial=0) // multiple) * multiple)
        inside = column < lengths[:, None]
        place = np.where(inside, self.starts[chosen, None] + column, 0)
        return np.where(inside, self.flat[place], pad).astype(np.int64), lengths

    def fingerprint(self) -> int:
        """Return a number that changes when any token or length does."""
        return zlib.crc32(self.flat.tobytes(), zlib.crc32(self.starts.tobytes()))
