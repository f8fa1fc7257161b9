"""The real series: its usual windows, and the published error of its last row."""

from pathlib import Path

import pytest

from heedful.bench.entries.forecast import repeat_last
from heedful.tasks.catalog import load_config
from heedful.tasks.forecast.task import ForecastTask

ROOT = Path(__file__).parents[3]


def test_the_last_row_errs_as_was_published(monkeypatch):
    """Zeng et al. 2022, arXiv:2205.13504, table 2: "Repeat" on ETTh2, 96 steps: 0.432 and 0.422."""
    monkeypatch.chdir(ROOT)
    config = ForecastTask.located(load_config("benchmarks/configs/etth2.toml"))
    if not Path(config.data.file).exists():
        pytest.skip(f"the real series must lie beside the project, got no {config.data.file}")
    splits = ForecastTask.read(config)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [8209, 2785, 2785]
    task = ForecastTask.fit(config, splits.train)
    answers = repeat_last(task, splits)
    scores = [metric.score(metric.statistics(answers, splits.test)) for metric in task.metrics]
    assert [round(score, 3) for score in scores] == [0.432, 0.422]
