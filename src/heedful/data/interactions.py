"""Readers of what users did: one row for a user and an item, and when it was."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from heedful.data.columns import read_columns
from heedful.errors import DataError


@dataclass(frozen=True)
class Interactions:
    """What users did.

    Args:
        users: Name of each one, and its items, the oldest first.
        twice: Rows that are left out, since they say again what one above says.
        unsorted: Users whose rows were not in the order of time.
    """

    users: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    twice: int = 0
    unsorted: int = 0


def read_interactions(
    path: Path | str,
    *,
    user: str = "user",
    item: str = "item",
    time: str | None = None,
    repeats: bool = False,
) -> Interactions:
    """Read who had which item, and when.

    Rows of one user that tie in time keep the order of their lines.

    Args:
        path: A UTF-8 table as `read_columns` takes it.
        user: A column, by its name in the first line or by its number from 1.
        item: Another one.
        time: Another one, with numbers, or dates and times of ISO 8601. `None` means that lines
            stand in the order of time.
        repeats: Does an item count that the user had before? Else the first time alone counts.

    Raises:
        DataError: The table cannot be used, or a time is none, or of another kind than the first.
    """
    columns = (user, item) if time is None else (user, item, time)
    rows: dict[str, list[tuple[float, str]]] = {}
    zoned: bool | None = None
    first: str | None = None
    for number, (who, what, *when) in read_columns(path, columns):
        at = 0.0
        if when:
            at, kind = _seconds(f"{path}:{number}", when[0].strip())
            if first is None:
                first, zoned = when[0].strip(), kind
            elif kind is not zoned:
                raise DataError(
                    f"{path}:{number} must have a time like the first one, {first:.40}, "
                    f"got {when[0]!r:.40}"
                )
        rows.setdefault(who.strip(), []).append((at, what.strip()))
    timed, unsorted = time is not None, 0
    for each in rows.values():
        ordered = sorted(each, key=lambda row: row[0])
        unsorted += ordered != each
        each[:] = ordered
    kept = {who: _once(each, timed=timed, repeats=repeats) for who, each in rows.items()}
    count = sum(map(len, rows.values())) - sum(map(len, kept.values()))
    return Interactions(kept, twice=count, unsorted=unsorted)


def _once(rows: list[tuple[float, str]], *, timed: bool, repeats: bool) -> list[str]:
    """Items without those that are there already: the same row, or the same item."""
    if not repeats:
        return list(dict.fromkeys(what for _, what in rows))
    return [what for _, what in (dict.fromkeys(rows) if timed else rows)]


def _seconds(place: str, text: str) -> tuple[float, bool | None]:
    """A time as a number; and is it a date with a time zone, one without, or a number (`None`)?"""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return number, None
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment.tzinfo is not None
        return (moment if zoned else moment.replace(tzinfo=UTC)).timestamp(), zoned
    except (ValueError, OverflowError, OSError):
        raise DataError(
            f"{place} must have a number or a date of ISO 8601 as its time, got {text!r:.40}"
        ) from None
