"""Moves: the ways to spend less attention at one site, one a file."""

from heedful.allocation.moves.base import Move
from heedful.allocation.moves.drop_site import DropSite
from heedful.allocation.moves.keep_heads import KeepHeads

# name (= file, and as plans say it) -> class
MOVES: dict[str, type[Move]] = {
    "drop_site": DropSite,
    "keep_heads": KeepHeads,
}

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "DropSite",
    "KeepHeads",
    "MOVES",
    "Move",
]
