"""Forecasting keeps to what every task keeps to, and learns what repeating the last row cannot."""

import json
import re
from datetime import datetime, timedelta
from typing import ClassVar

import numpy as np
import pytest

from heedful.errors import DataError, RunError
from heedful.tasks.catalog import parse_config
from heedful.tasks.forecast.task import ForecastTask
from heedful.testing.tasks import TaskContract
from heedful.training.start import build, train

SMALL = {"history": 32, "horizon": 4}
DATA = {"rows": 400, "series": 2}
MODEL = {"width": 8, "heads": 2, "layers": 1, "feedforward": 8, "patch": 8, "stride": 8}


@pytest.fixture(scope="class")
def tables(tmp_path_factory):
    """Two tables whose last rows a user wants to be continued."""
    folder, draw = tmp_path_factory.mktemp("tables"), np.random.default_rng(4)
    paths = [folder / name for name in ("a.csv", "b.csv")]
    for path, rows in zip(paths, (32, 40), strict=True):
        start = datetime(2026, 7, 1)
        numbers = draw.normal(size=(rows, 2)).round(2).tolist()
        lines = [f"{start + n * timedelta(hours=1)},{a},{b}" for n, (a, b) in enumerate(numbers)]
        path.write_text("\n".join(["date,s1,s2", *lines, ""]))
    return [str(path) for path in paths]


class TestForecast(TaskContract):
    task = ForecastTask
    budget = "mse 50%"
    learns = ("train.steps=120", "train.learning_rate=0.01", "model.dropout=0")
    tables: ClassVar = {
        "data": DATA,
        "window": SMALL,
        "model": MODEL,
        "train": {"steps": 6, "batch_size": 16},
    }

    @pytest.fixture(autouse=True)
    def _inputs(self, tables):
        self.inputs = tables

    def expected(self, answers, examples):
        errors = [
            said - true
            for answer in answers
            for said, true in zip(answer.scaled.flat, answer.truth.flat, strict=True)
        ]
        return {"mse": np.mean(np.square(errors)), "mae": np.mean(np.abs(errors))}

    def test_the_truth_is_what_came(self, run):
        task = run.task
        examples = run.examples("test")
        answer = task.answer(run.model, task.encode(examples[3:4]))[0]
        from heedful.data.series import made_series

        series = made_series(rows=400, columns=2, seed=1)
        row = examples[3].row
        np.testing.assert_allclose(
            task.scale.undo(answer.truth), series.values[row : row + 4], atol=1e-5
        )
        np.testing.assert_allclose(task.scale.undo(answer.scaled), answer.values)
        assert answer.times == tuple(series.clock.text(n) for n in range(row, row + 4))

    def test_scales_are_those_of_the_training_rows(self, run):
        from heedful.data.series import made_series

        known = made_series(rows=400, columns=2, seed=1).values[:280]
        assert run.task.scale.mean == pytest.approx(known.mean(0))
        assert run.task.scale.deviation == pytest.approx(known.std(0))

    def test_answers_go_on_where_a_table_ends(self, run, tables):
        task = run.task
        answer = run.answer(tables[:1])[0]
        assert answer.times[0] == "2026-07-02 08:00:00"
        assert answer.truth is None
        shown = task.show(answer).split("\t")
        assert [line[:20] for line in shown] == ["2026-07-02 08:00:00 ", "2026-07-02 11:00:00 "]
        plain = json.loads(json.dumps(task.to_json(task.parse(tables[0]), answer)))
        assert plain["columns"]["s2"] == pytest.approx(answer.values[:, 1].tolist())
        assert plain.keys() == task.blank("x").keys()
        with pytest.raises(DataError, match="must have a known future, got one without"):
            task.metrics[0].statistics([answer], [None])

    def test_a_table_of_windows_is_judged(self, run, tables):
        windows = run.task.read_file(run.config, tables[1])
        assert [window.row for window in windows] == [32, 33, 34, 35, 36]
        assert len(run.task.answer(run.model, run.task.encode(windows))) == 5

    def test_the_picture_is_of_patches(self, run):
        task, example = run.task, run.examples("test")[0]
        answer = task.answer(run.model, task.encode([example]))[0]
        picture = task.picture(run.model, example, answer)
        assert picture.source == picture.target
        assert picture.source == ("-32", "-24", "-16", "-8")
        assert np.sum(picture.weights, axis=1) == pytest.approx(np.ones(4))

    def test_rows_are_columns_of_windows(self, run):
        task = run.task
        data = task.encode(run.examples("test")[:3])
        found = task.rows(run.model, data.batch(range(3), "cpu"))
        answers = task.answer(run.model, data)
        assert found.example.tolist() == [0, 0, 1, 1, 2, 2]
        assert np.allclose(found.outputs[3].detach(), answers[1].scaled[:, 1], atol=1e-4)
        assert found.truth is None


def config(folder=None, **tables):
    settings = {"data": DATA, "window": SMALL, "output": str(folder), **tables}
    return parse_config({"task": "forecast", **settings})


@pytest.mark.parametrize("model", [{**MODEL, "attention": "none"}, {"name": "linear"}])
def test_without_attention_there_is_no_picture(model):
    settings = config(model=model)
    examples = ForecastTask.read(settings).train
    task = ForecastTask.fit(settings, examples)
    network = build(task).eval()
    answer = task.answer(network, task.encode(examples[:1]))[0]
    assert task.picture(network, examples[0], answer) is None


def test_it_learns_what_the_last_row_does_not_say(tmp_path):
    model = {**MODEL, "width": 16, "layers": 2, "dropout": 0}
    data = {"rows": 1_500, "series": 2}
    settings = {"steps": 150, "batch_size": 32, "learning_rate": 0.01, "precision": "fp32"}
    run = train(config(tmp_path / "run", model=model, data=data, train=settings), task=ForecastTask)
    task, examples = run.task, run.examples("test")
    answers = task.answer(run.model, task.encode(examples))
    learned = np.mean([np.square(each.scaled - each.truth).mean() for each in answers])
    futures = [each.truth for each in answers]
    histories = task.encode(examples).batch(range(len(examples)), "cpu")["history"].numpy()
    repeated = np.mean(np.square(histories[:, -1:] - np.stack(futures)))
    assert learned < 0.5 * repeated


def test_a_column_that_never_changes_is_forecast(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["date,a", *(f"{n},5" for n in range(200)), ""]))
    settings = config(data={"name": "table", "file": str(path)}, model=MODEL)
    task = ForecastTask.fit(settings, ForecastTask.read(settings).train)
    assert (task.scale.mean, task.scale.deviation) == ((5.0,), (1.0,))
    answer = task.answer(build(task).eval(), task.encode([task.parse(str(path))]))[0]
    assert np.allclose(answer.values, 5, atol=0.1)


def test_training_needs_a_window():
    with pytest.raises(DataError, match="the training split must hold a window, got none"):
        ForecastTask.fit(config(), [])


@pytest.mark.parametrize(
    "text",
    [
        '{"columns": ["a"], "mean": [1.0], "deviation": [0.0]}',
        '{"columns": ["a"], "mean": [1.0, 2.0], "deviation": [1.0]}',
        '{"columns": [], "mean": [], "deviation": []}',
        '{"columns": ["a"], "mean": [1.0]}',
        '{"columns": ["a"], "mean": [1e999], "deviation": [1.0]}',
    ],
)
def test_damaged_scales_are_refused(tmp_path, text):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "scale.json").write_text(text)
    with pytest.raises(RunError, match=re.escape("scale.json must ")):
        ForecastTask.load(config(), tmp_path)
