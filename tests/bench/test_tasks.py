"""The table of tasks: its rows say what was measured."""

import re

import pytest

from heedful.bench import tasks
from heedful.bench.entries.translation import copied
from heedful.bench.entry import Entry
from heedful.bench.tasks import compare_task, compare_tasks
from heedful.data.examples import Example
from heedful.errors import ConfigError
from heedful.evaluation import evaluate

SMALL = Entry(
    metric="chrf",
    models={"Transformer": {}, "RNN": {"model": {"name": "rnn", "width": 16, "hidden": 16}}},
    baselines={"the source": copied, "again": copied},
    data="a few phrases",
    tables={
        "data": {"examples": 300, "dev": 20, "test": 20},
        "decode": {"max_length": 8},
        "model": {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    },
    shift=("other words", lambda config: [Example("x y", "x y")]),
    budget="chrf 1",
)


def test_rows_say_what_evaluate_says(monkeypatch):
    reports, told, trained = {}, [], []

    def kept(run, split):
        reports[run.config.model.name, split] = evaluate(run, split=split)
        return reports[run.config.model.name, split]

    monkeypatch.setattr(tasks, "evaluate", kept)
    rows = compare_task(
        "translation",
        SMALL,
        0.002,
        on_progress=told.append,
        on_trained=lambda name, entry, run: trained.append((name, entry, run.folder.name)),
    )
    assert told == ["translation: Transformer", "translation: RNN"]
    assert trained == [("translation", SMALL, "0")]
    for row, name in zip(rows, ("transformer", "rnn"), strict=True):
        plain, found = row.to_json(), reports[name, "test"].scores["chrf"]
        assert plain["task"] == "translation"
        assert (plain["value"], plain["interval"]) == (found.score, found.interval)
        assert plain["dev"] == reports[name, "dev"].scores["chrf"].score
        assert plain["baselines"].keys() == SMALL.baselines.keys()
        assert plain["shift"][0] == "other words"
        assert plain["seconds"] > 0
        assert plain["peak_memory_mib"] is None or plain["peak_memory_mib"] > 0
        assert plain["parameters"] > 1_000
    assert rows[0].baselines == rows[1].baselines


def test_a_metric_that_the_task_has_not_is_refused():
    wrong = Entry(**{**vars(SMALL), "metric": "accuracy"})
    with pytest.raises(ConfigError, match="translation must have the metric accuracy, got none"):
        compare_task("translation", wrong, 0.001)


def test_refuses_what_is_not_there():
    with pytest.raises(ConfigError, match="task must be one of"):
        compare_tasks(minutes=1, tasks=["translatoin"])
    with pytest.raises(ConfigError, match=re.escape("minutes must be above 0, got 0")):
        compare_tasks(minutes=0)
