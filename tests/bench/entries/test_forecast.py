"""What forecasts without a network: by hand, and better where there is more to know."""

import numpy as np
import pytest

from heedful.bench.entries.forecast import ENTRY, repeat_last, repeat_season, ridge
from heedful.data.series import OTHER
from heedful.tasks.catalog import parse_config
from heedful.tasks.forecast.task import ForecastTask


@pytest.fixture
def season(tmp_path):
    """A task over a noisy season of 7 rows with a trend, and its splits."""
    rows, noise = np.arange(400), np.random.default_rng(1).normal(0, 0.05, 400)
    values = 5 + 2 * np.sin(2 * np.pi * rows / 7) + 0.01 * rows + noise
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["date,a", *(f"{n},{v}" for n, v in enumerate(values)), ""]))
    tables = {
        "data": {"name": "table", "file": str(path)},
        "window": {"history": 24, "horizon": 9},
    }
    config = parse_config({"task": "forecast", **tables})
    splits = ForecastTask.read(config)
    return ForecastTask.fit(config, splits.train), splits, values


def test_what_is_repeated_is_what_was_there(season):
    task, splits, values = season
    first = splits.test[0].row
    last, seasonal = (each(task, splits)[0] for each in (repeat_last, repeat_season))
    assert np.allclose(task.scale.undo(last.scaled)[:, 0], values[first - 1])
    wanted = [values[first - 7 + n % 7] for n in range(9)]
    assert np.allclose(task.scale.undo(seasonal.scaled)[:, 0], wanted, atol=1e-5)
    assert np.allclose(task.scale.undo(seasonal.truth)[:, 0], values[first : first + 9], atol=1e-5)


def test_who_knows_more_errs_less(season):
    task, splits, _ = season
    metric = task.metric("mse")
    last, seasonal, linear = (
        metric.score(metric.statistics(each(task, splits), splits.test))
        for each in (repeat_last, repeat_season, ridge)
    )
    assert linear < seasonal / 2 < last / 20


def test_windows_from_elsewhere_have_other_seasons():
    config = parse_config(
        {"task": "forecast", "data": {"rows": 300}, "window": {"history": 40, "horizon": 4}}
    )
    name, make = ENTRY.shift
    task = ForecastTask.fit(config, ForecastTask.read(config).train)
    windows = make(config)
    assert name == "seasons of other lengths"
    assert {window.file for window in windows} == {OTHER}
    assert len(task.encode(windows)) == 300 - 40 - 4 + 1
