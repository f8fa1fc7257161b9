"""Forecasting: patches with full, windowed and no attention, beside what needs no network."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.series import OTHER
from heedful.tasks.base import Task
from heedful.tasks.forecast.windows import Window, all_windows

STRENGTHS = (1.0, 30.0, 1_000.0, 30_000.0)  # of ridge regression
TRIED = 300  # windows of dev that a season is chosen with
Floats = NDArray[np.float32]
AnyTask = Task[Any, Any]


def repeat_last(task: AnyTask, splits: Splits[Window]) -> list[Any]:
    """Forecast the last row again."""
    history, future = arrays(task, splits.test)
    return answers(np.broadcast_to(history[:, -1:], future.shape), future)


def repeat_season(task: AnyTask, splits: Splits[Window]) -> list[Any]:
    """Forecast the last season again, as many rows as are best on dev."""
    step = max(1, len(splits.dev) // TRIED)
    dev, come = arrays(task, splits.dev[::step])
    errors = {
        period: np.square(_repeated(dev, period, come.shape[1]) - come).mean()
        for period in range(1, dev.shape[1] + 1)
    }
    best = min(errors, key=lambda period: errors[period])
    history, future = arrays(task, splits.test)
    return answers(_repeated(history, best, future.shape[1]), future)


def ridge(task: AnyTask, splits: Splits[Window]) -> list[Any]:
    """Forecast by ridge regression on what is added to the last row, one for all columns."""
    given, wanted = _lines(*arrays(task, splits.train))
    tried, right = _lines(*arrays(task, splits.dev))
    gram, product = given.T @ given, given.T @ wanted
    weights = [np.linalg.solve(gram + s * np.eye(len(gram)), product) for s in STRENGTHS]
    best = min(weights, key=lambda each: float(np.square(tried @ each - right).mean()))
    history, future = arrays(task, splits.test)
    lines, _ = _lines(history, future)
    said = (lines @ best).reshape(len(future), future.shape[2], -1).transpose(0, 2, 1)
    return answers(said.astype(np.float32) + history[:, -1:], future)


def arrays(task: AnyTask, windows: Sequence[Window]) -> tuple[Floats, Floats]:
    """Return scaled histories and what followed them, `(windows, rows, columns)`."""
    batch = task.encode(windows).batch(range(len(windows)), "cpu")
    return batch["history"].numpy(), batch["future"].numpy()


def answers(said: NDArray[Any], truth: Floats) -> list[Any]:
    """Return forecasts as metrics read them."""
    return [SimpleNamespace(scaled=s, truth=t) for s, t in zip(said, truth, strict=True)]


def _repeated(history: Floats, period: int, rows: int) -> Floats:
    return history[:, history.shape[1] - period + np.arange(rows) % period]


def _lines(history: Floats, future: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each column of each window as a row, less its last value; a constant 1 stands last."""
    last = history[:, -1:]
    given, wanted = (
        (rows - last).transpose(0, 2, 1).reshape(-1, rows.shape[1]).astype(np.float64)
        for rows in (history, future)
    )
    return np.concatenate([given, np.ones((len(given), 1))], axis=1), wanted


ENTRY = Entry(
    metric="mse",
    models={
        "patches, full attention": {},
        "patches, windowed attention": {"model": {"attention": "window"}},
        "patches, no attention": {"model": {"attention": "none"}},
        "linear layer": {"model": {"name": "linear"}},
    },
    baselines={"last row": repeat_last, "last season": repeat_season, "ridge": ridge},
    data="seasons whose regime changes",
    budget="mse 5%",
    shift=("seasons of other lengths", lambda config: all_windows(config, OTHER)),
)
