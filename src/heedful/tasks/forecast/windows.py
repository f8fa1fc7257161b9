"""Windows of series: a history and what follows it, kept by where they are and a hash."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.examples import Splits
from heedful.data.hashes import hash_array
from heedful.data.ragged import Ints
from heedful.data.series import MADE, PERIODS, Series, made_series, read_series
from heedful.errors import DataError
from heedful.tasks.forecast.config import Config, SeasonsData

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARES = (0.7, 0.1)  # of training and dev, where a config does not say


@dataclass(frozen=True, slots=True)
class Window:
    """A place in a table.

    Args:
        file: An absolute path, or the name of made series.
        row: The first row that is forecast, from 0.
        hash: Of the numbers before and, where they are known, behind that place.
        known: Are the rows that are forecast in the table?
    """

    file: str
    row: int
    hash: str
    known: bool = True


@dataclass(frozen=True)
class Scale:
    """What numbers of the training rows are like, column by column.

    Args:
        columns: Their names.
        mean: Of each.
        deviation: Of each; 1 where all numbers are the same.
        pace: How far two rows are apart; empty where nobody knows.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    pace: str = ""

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return numbers without their mean, in deviations."""
        scaled = (values - np.array(self.mean)) / np.array(self.deviation)
        return scaled.astype(np.float32)

    def undo(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Return numbers as they are in tables."""
        return scaled * np.array(self.deviation) + np.array(self.mean)


def open_series(config: Config, file: str, columns: Sequence[str] = ()) -> Series:
    """Read or make the table that windows are in.

    Args:
        config: Says how it is read.
        file: Its path, or the name of made series.
        columns: Those to read; none given means those of the config.

    Raises:
        DataError: It cannot be used.
    """
    data = config.data
    if file in PERIODS:
        if not isinstance(data, SeasonsData):
            raise DataError(f"windows must be of a table, got {file}")
        return made_series(file, rows=data.rows, columns=data.series, seed=config.seed)
    if isinstance(data, SeasonsData):
        return read_series(file, time="date", columns=[f"s{n + 1}" for n in range(data.series)])
    return read_series(file, time=data.time, columns=columns or data.columns)


def read_windows(config: Config) -> Splits[Window]:
    """Refer to all windows of each split: its rows are those that are forecast.

    Raises:
        DataError: The table cannot be used, or has too few rows.
    """
    data = config.data
    file = MADE if isinstance(data, SeasonsData) else data.file
    series = open_series(config, file)
    rows, horizon = len(series.values), config.window.horizon
    split = data.split or _split(rows)
    if sum(split) > rows:
        raise DataError(f"{file} must have the {sum(split):,} rows of data.split, got {rows:,}")
    borders = np.cumsum([0, *split]).tolist()
    least = (config.window.history + horizon, horizon, horizon if split[2] else 0)
    for name, size, need in zip(("training", "dev", "test"), split, least, strict=True):
        if size < need:
            raise DataError(f"{file} must have {need:,} rows or more for {name}, got {size:,}")
    starts = (config.window.history, borders[1], borders[2])
    parts = [
        [_window(config, series, file, row) for row in range(start, end - horizon + 1)]
        for start, end in zip(starts, borders[1:], strict=True)
    ]
    return Splits(*parts)


def all_windows(config: Config, file: str) -> list[Window]:
    """Refer to all windows of a table, or of made series.

    Raises:
        DataError: The table cannot be used, or has too few rows.
    """
    series = open_series(config, file)
    history, horizon = config.window.history, config.window.horizon
    last = len(series.values) - horizon
    if last < history:
        raise DataError(
            f"{file} must have {history + horizon:,} rows or more, got {len(series.values):,}"
        )
    return [_window(config, series, file, row) for row in range(history, last + 1)]


def next_window(config: Config, file: str, columns: Sequence[str] = ()) -> Window:
    """Refer to what follows the last row of a table.

    Args:
        config: Says how it is read.
        file: Its path, or the name of made series.
        columns: Those of the training; none given means those of the config.

    Raises:
        DataError: The table cannot be used, or has too few rows.
    """
    series = open_series(config, file, columns)
    rows = len(series.values)
    if rows < config.window.history:
        raise DataError(
            f"{file} must have the {config.window.history:,} rows that a forecast reads, "
            f"got {rows:,}"
        )
    return _window(config, series, file, rows, known=False)


class Numbers:
    """Windows made ready.

    Args:
        config: Says how long they are.
        scale: Of the training.
        windows: Where they are.

    Raises:
        DataError: A table cannot be used, has other columns or another pace, or holds other
            numbers than it did.
    """

    def __init__(self, config: Config, scale: Scale, windows: Sequence[Window]) -> None:
        self.history, self.horizon = config.window.history, config.window.horizon
        files = dict.fromkeys(window.file for window in windows)
        self.series = {file: open_series(config, file, scale.columns) for file in files}
        for file, series in self.series.items():
            if series.columns != scale.columns:
                raise DataError(
                    f"{file} must have the columns of the training, {', '.join(scale.columns)}, "
                    f"got {', '.join(series.columns)}"
                )
            if scale.pace and series.clock.pace != scale.pace:
                raise DataError(
                    f"{file} must have {scale.pace} from row to row like the training, "
                    f"got {series.clock.pace}"
                )
        for window in windows:
            if _window(config, self.series[window.file], *_place(window)).hash != window.hash:
                raise DataError(
                    f"{window.file} must hold the rows before and behind row {window.row} as they "
                    "were, got others"
                )
        self.windows, self.sizes = list(windows), np.ones((len(windows), 1), np.int64)
        self.amounts: Ints = np.ones(len(windows), np.int64)
        self._scaled = {file: scale.apply(each.values) for file, each in self.series.items()}

    def __len__(self) -> int:
        return len(self.windows)

    def future(self, row: int) -> NDArray[np.float32] | None:
        """Return the scaled numbers that are forecast, where they are known."""
        window = self.windows[row]
        if not window.known:
            return None
        return self._scaled[window.file][window.row : window.row + self.horizon]

    def batch(
        self, rows: Sequence[int], device: "torch.device | str", *, random: Any = None
    ) -> "dict[str, Tensor]":
        """Return these windows as tensors; a future that nobody knows is not a number."""
        import torch

        histories: list[NDArray[np.float32]] = []
        futures: list[NDArray[np.float32]] = []
        for row in rows:
            window, future = self.windows[row], self.future(row)
            values = self._scaled[window.file]
            histories.append(values[window.row - self.history : window.row])
            unknown = np.full((self.horizon, values.shape[1]), np.nan, np.float32)
            futures.append(unknown if future is None else future)
        arrays = {"history": np.stack(histories), "future": np.stack(futures)}
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def fingerprint(self) -> list[int]:
        """Return checksums of where windows are, and of what is there."""
        said = ",".join(f"{window.row}:{window.hash}" for window in self.windows)
        return [len(self), zlib.crc32(said.encode())]


def _split(rows: int) -> tuple[int, int, int]:
    train, dev = (int(rows * share) for share in SHARES)
    return train, dev, rows - train - dev


def _place(window: Window) -> tuple[str, int, bool]:
    return window.file, window.row, window.known


def _window(
    config: Config,
    series: Series,
    file: str,
    row: int,
    known: bool = True,
) -> Window:
    stop = row + (config.window.horizon if known else 0)
    held = series.values[row - config.window.history : stop]
    return Window(file, row, hash_array(held), known)
