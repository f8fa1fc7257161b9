"""What moves are called in plans: those of heedful by a word, those of a user by their class."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass

from heedful.allocation.moves import MOVES, Move
from heedful.errors import UnsupportedError


def name_of(move: Move) -> str:
    """Return the name of a move in plans: its word, or `module:Class` where it is a user's own.

    Raises:
        UnsupportedError: Its class is no dataclass, or a field holds what no plan can.
    """
    for name, kind in MOVES.items():
        if type(move) is kind:
            return name
    kind = type(move)
    if not is_dataclass(kind):
        raise UnsupportedError(f"a move must be a dataclass, got {kind.__name__}")
    for field, value in move.settings().items():
        if not _is_plain(value):
            raise UnsupportedError(
                f"a move must hold whole numbers, floats, truth values, texts or tuples of whole "
                f"numbers, got {field} = {value!r:.80} in {kind.__name__}"
            )
    return class_name(kind)


def class_name(kind: type[Move]) -> str:
    """Return what plans call a user's own move; nothing is imported by it."""
    return f"{kind.__module__}:{kind.__qualname__}"


def kinds_of_moves(own: Iterable[type[Move]] = ()) -> Mapping[str, type[Move]]:
    """Return the class of every move that a plan may name.

    Args:
        own: A user's own classes.

    Raises:
        UnsupportedError: One of them is no class of moves.
    """
    kinds = dict(MOVES)
    for kind in own:
        if not (isinstance(kind, type) and issubclass(kind, Move)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UnsupportedError(f"moves must be classes of moves, got {kind!r:.80}")
        kinds[class_name(kind)] = kind
    return kinds


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(type(each) is int for each in value)  # pyright: ignore[reportUnknownVariableType]
    return type(value) in (int, bool, str) or (type(value) is float and math.isfinite(value))
