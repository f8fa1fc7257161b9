"""An image, and where its places looked or words about it did, as plain data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """Where one place of an image looked, or one word about it.

    Args:
        row: Of the place, in cells of the grid in which attention ran; for a word, of the place
            that it looked at most.
        column: Of the place.
        weights: Shares of attention, a row for each row of cells; they sum to one.
        word: That looked; empty where a place did.
    """

    row: int
    column: int
    weights: tuple[tuple[float, ...], ...]
    word: str = ""

    @classmethod
    def of(
        cls, weights: NDArray[Any], *, place: tuple[int, int] | None = None, word: str = ""
    ) -> "AttentionMap":
        """Return the map of a grid of weights, made into shares.

        Args:
            weights: `(rows, columns)`, none below 0.
            place: That looked, row and column; `None` means the one that was looked at most.
            word: That looked.
        """
        row, column = divmod(int(weights.argmax()), weights.shape[1]) if place is None else place
        shares = np.asarray(weights, np.float64) / max(float(weights.sum()), 1e-30)
        return cls(row=row, column=column, weights=tuple(map(tuple, shares.tolist())), word=word)


@dataclass(frozen=True, kw_only=True)
class ImageAttention:
    """An image, and where some of its places looked.

    Args:
        pixels: A row for each row of pixels, of one number from 0 to 255 for each channel.
        maps: Of some places or words; none where the model has no attention.
        title: What the picture is of.
        badge: Of an explanation, its verdict behind a mark; empty where nothing is claimed.
        explains: Do maps say what counts for their words, and not where these looked?
    """

    pixels: tuple[tuple[tuple[int, ...], ...], ...]
    maps: tuple[AttentionMap, ...] = ()
    title: str = ""
    badge: str = ""
    explains: bool = False

    @classmethod
    def of(
        cls, pixels: NDArray[np.uint8], maps: Iterable[AttentionMap] = (), *, title: str = ""
    ) -> "ImageAttention":
        """Return the picture of an array of pixels, `(height, width, channels)`."""
        lines = tuple(tuple(map(tuple, line)) for line in pixels.tolist())
        return cls(pixels=lines, maps=tuple(maps), title=title)
