"""Which piece of an input each piece of an answer looked at, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Weights between the pieces of an input and of an answer: two texts, a text and its label.

    Args:
        source: Pieces that were read; `weights` has a column each.
        target: Pieces that were written; `weights` has a row each, which sums to one.
        weights: Shares of attention.
        title: What the picture is of.
        badge: Of an explanation, its verdict behind a mark; empty where nothing is claimed.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    title: str = ""
    badge: str = ""
