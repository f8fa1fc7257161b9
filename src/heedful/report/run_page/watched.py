"""A head while it was learned, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WatchedHead:
    """How a head spread its attention while it was learned.

    Args:
        site: Of the head.
        number: Of the head.
        points: Steps, and the entropy of a row as a share of the largest possible.
    """

    site: str
    number: int
    points: tuple[tuple[int, float], ...]
