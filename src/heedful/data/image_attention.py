"""An image, and where its places looked or words about it did, as plain data."""

from dataclasses import dataclass


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


@dataclass(frozen=True, kw_only=True)
class ImageAttention:
    """An image, and where some of its places looked.

    Args:
        pixels: A row for each row of pixels, of one number from 0 to 255 for each channel.
        maps: Of some places or words; none where the model has no attention.
        title: What the picture is of.
    """

    pixels: tuple[tuple[tuple[int, ...], ...], ...]
    maps: tuple[AttentionMap, ...] = ()
    title: str = ""
