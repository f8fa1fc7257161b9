"""Values over time: read from tables, a row a step, or made with seasons and changing regimes."""

import calendar
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from heedful.data.columns import number_in, read_columns, read_header
from heedful.errors import DataError

Values = NDArray[np.float64]  # (rows, columns)
# what stands where files have a path: rows of a season in each regime
PERIODS = {"made seasons": (11, 16, 23), "other seasons": (9, 13, 20)}
MADE, OTHER = PERIODS


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The time of each row: they follow each other by one step, of seconds, months or counts.

    Args:
        first: Of row 0; a whole number where rows are counted.
        step: Between two rows: a number of months or of counts, or seconds and days.
        day: Of the month, where steps are months; 31 means the last one.
        dates: Are times of day left out?
    """

    first: datetime | int
    step: timedelta | int
    day: int = 1
    dates: bool = False

    def at(self, row: int) -> datetime | int:
        """Return the time of a row, also beyond the last one.

        Raises:
            DataError: It is beyond all calendars.
        """
        if isinstance(self.first, int):
            return self.first + row * cast(int, self.step)
        try:
            if isinstance(self.step, timedelta):
                return self.first + row * self.step
            years, month = divmod(self.first.month - 1 + row * self.step, 12)
            year = self.first.year + years
            day = min(self.day, calendar.monthrange(year, month + 1)[1])
            return self.first.replace(year=year, month=month + 1, day=day)
        except (OverflowError, ValueError):
            raise DataError(
                f"times must lie in the years 1 to 9999, got row {row} after {self.first}"
            ) from None

    @property
    def pace(self) -> str:
        """How far two rows are apart, in words."""
        if isinstance(self.step, timedelta):
            return f"{self.step.total_seconds():g} seconds"
        return f"{self.step} {'counts' if isinstance(self.first, int) else 'months'}"

    def text(self, row: int) -> str:
        """Return the time of a row as files write it."""
        time = self.at(row)
        if isinstance(time, int):
            return str(time)
        return time.date().isoformat() if self.dates else time.isoformat(" ")


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Some columns of numbers over the same time.

    Args:
        columns: Their names.
        values: `(rows, columns)`.
        clock: When each row was.
    """

    columns: tuple[str, ...]
    values: Values
    clock: Clock


# ---- reading ------------------------------------------------------------------------------------


def read_series(path: Path | str, *, time: str, columns: Sequence[str] = ()) -> Series:
    """Read a table with a time and numbers in each row; what was read last is kept.

    Times are written like `2026-07-01`, `2026-07-01 13:00` or `2026-07-01T13:00:00+02:00`, or are
    whole numbers. All steps between them are equal, in seconds or in months.

    Args:
        path: A TSV file or, where it is called so, CSV; `.gz` is unpacked.
        time: The column of times: its name in the first line, or its number from 1.
        columns: Those of numbers. None given means all the others.

    Raises:
        DataError: The file or a column is missing, a row has no time or no number, or times do not
            follow each other by equal steps. No row is ever skipped.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} must be a table, got: {error.strerror}") from None
    except ValueError as error:  # no file can have such a name
        raise DataError(f"{str(path)!r:.200} must be a table, got: {error}") from None
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise DataError(f"{path} must be a table, got no ordinary file")
    return _kept(str(path), time, tuple(columns), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _kept(path: str, time: str, columns: tuple[str, ...], changed: int, size: int) -> Series:
    columns = columns or _others(path, time)
    lines: list[int] = []
    times: list[str] = []
    rows: list[list[float]] = []
    for line, (when, *numbers) in read_columns(path, (time, *columns), blank=columns):
        lines.append(line)
        times.append(when.strip())
        rows.append([number_in(path, line, *pair) for pair in zip(columns, numbers, strict=True)])
    values = np.array(rows, np.float64)
    values.setflags(write=False)
    return Series(columns=columns, values=values, clock=_clock(path, lines, times))


def _others(path: str, time: str) -> tuple[str, ...]:
    """All columns but that of times."""
    header = read_header(path)
    names = [str(number) for number in range(1, len(header) + 1)] if time.isdecimal() else header
    others = tuple(name for name in names if name != time)
    if not others:
        raise DataError(f"{path}:1 must have a column of numbers beside {time!r}, got none")
    numbers = [name for name in others if name.isdecimal()]
    if numbers and not time.isdecimal():
        raise DataError(
            f"{path}:1 must have names that are no numbers, got {numbers[0]!r}; "
            "name the columns to read by their numbers from 1"
        )
    return others


def _clock(path: str, lines: list[int], texts: list[str]) -> Clock:
    """The one clock that all times go by."""
    times: list[Any] = [_time(path, line, text) for line, text in zip(lines, texts, strict=True)]
    if len(times) < 2:
        raise DataError(f"{path} must have two rows or more to tell the step of time, got 1")
    for line, text, time in zip(lines, texts, times, strict=True):
        if not _comparable(time, times[0]):
            raise DataError(
                f"{path}:{line} must have a time of the kind of the first one, {texts[0]}, "
                f"got {text}"
            )
    if times[1] <= times[0]:
        raise DataError(f"{path}:{lines[1]} must be later than {texts[0]}, got {texts[1]}")
    clock = _guess(times, dates=all(len(text) == len("2026-07-01") for text in texts))
    for row, (line, time) in enumerate(zip(lines, times, strict=True)):
        if time != clock.at(row):
            raise DataError(
                f"{path}:{line} must be one step after the row before, {clock.text(row)}, "
                f"got {texts[row]}"
            )
    return clock


def _time(path: str, line: int, text: str) -> datetime | int:
    if re.fullmatch(r"[+-]?[0-9]{1,15}", text):
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{path}:{line} must have a time like 2026-07-01 or 2026-07-01 13:00, or a whole "
            f"number, got {text!r:.80}"
        ) from None


def _comparable(time: datetime | int, other: datetime | int) -> bool:
    if isinstance(time, int) or isinstance(other, int):
        return isinstance(time, int) and isinstance(other, int)
    return (time.tzinfo is None) == (other.tzinfo is None)


def _guess(times: list[Any], *, dates: bool) -> Clock:
    """A clock by the first rows: of months where the second and the third row go by one."""
    first, second = times[:2]
    if isinstance(first, int):
        return Clock(first=first, step=second - first)
    months = 12 * (second.year - first.year) + second.month - first.month
    day = 31 if _ends_month(first) and _ends_month(second) else first.day
    by_months = Clock(first=first, step=months, day=day, dates=dates)
    if months and all(by_months.at(row) == time for row, time in enumerate(times[:3])):
        return by_months
    return Clock(first=first, step=second - first, dates=dates)


def _ends_month(time: datetime) -> bool:
    return time.day == calendar.monthrange(time.year, time.month)[1]


# ---- making -------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def made_series(name: str = MADE, *, rows: int, columns: int, seed: int) -> Series:
    """Make hourly series of a season, a trend and noise, whose regime changes now and then.

    Each regime has a season of another length and height, and a trend of another slope. One linear
    rule for all of them averages over regimes; telling which one it is pays.

    Args:
        name: `MADE`, or `OTHER`, whose seasons are of other lengths.
        rows: Steps of time.
        columns: Series, each with regimes of its own.
        seed: Decides all of it.
    """
    draw = np.random.default_rng(seed)
    made = np.stack([_column(draw, rows, PERIODS[name]) for _ in range(columns)], axis=1)
    made = np.round(made, 3)  # as files would hold it
    made.setflags(write=False)
    clock = Clock(first=datetime(2026, 1, 1), step=timedelta(hours=1))
    return Series(columns=tuple(f"s{n}" for n in range(1, columns + 1)), values=made, clock=clock)


def _column(draw: np.random.Generator, rows: int, periods: Sequence[int]) -> Values:
    parts: list[Values] = []
    level, regime = 0.0, int(draw.integers(len(periods)))
    while sum(map(len, parts)) < rows:
        length = int(draw.integers(150, 450))
        slope, height = draw.normal(0, 0.004), draw.uniform(0.7, 1.4)
        turns = 2 * np.pi * (np.arange(length) / periods[regime] + draw.random())
        season = np.sin(turns) + 0.5 * np.sin(2 * turns + regime)
        trend = level + slope * np.arange(length)
        parts.append(trend + height * season)
        level = float(trend[-1])
        regime = (regime + int(draw.integers(1, len(periods)))) % len(periods)
    return np.concatenate(parts)[:rows] + draw.normal(0, 0.3, rows)
