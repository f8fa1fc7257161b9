"""The table of tasks: every built-in task is in it, and its rows say what was measured."""

from types import SimpleNamespace

import pytest

from heedful.bench import tasks
from heedful.bench.tasks import ENTRIES, Entry, compare_tasks, copied, most_frequent
from heedful.data.examples import Example, Splits
from heedful.errors import ConfigError
from heedful.evaluation import evaluate
from heedful.tasks.catalog import BUILT_IN, find_task, parse_config

SMALL = Entry(
    metric="chrf",
    models={"Transformer": {}, "RNN": {"model": {"name": "rnn", "width": 16, "hidden": 16}}},
    baseline=("the source", copied),
    data="a few phrases",
    tables={
        "data": {"examples": 300, "dev": 20, "test": 20},
        "decode": {"max_length": 8},
        "model": {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    },
)


def test_every_task_is_there():
    assert ENTRIES.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_model_is_a_config_that_can_be_built(name):
    entry, kind = ENTRIES[name], find_task(name)
    assert kind.metric(entry.metric) is not None
    configs = [
        parse_config({**entry.tables, **model, "task": name}) for model in entry.models.values()
    ]
    assert [kind.problem(config) for config in configs] == [None] * len(configs)
    assert len({str(config.model) for config in configs}) == len(configs)


def test_rows_say_what_evaluate_says(monkeypatch):
    reports = []
    monkeypatch.setattr(
        tasks,
        "evaluate",
        lambda run, split: reports.append(evaluate(run, split=split)) or reports[-1],
    )
    told = []
    rows = compare_tasks(minutes=0.002, entries={"translation": SMALL}, on_progress=told.append)
    assert told == ["translation: Transformer", "translation: RNN"]
    for row, report, model in zip(rows, reports, SMALL.models, strict=True):
        plain = row.to_json()
        assert (plain["task"], plain["model"]) == ("translation", model)
        assert (plain["value"], plain["interval"]) == (
            report.scores["chrf"].score,
            report.scores["chrf"].interval,
        )
        assert plain["baseline_name"] == "the source"
        assert plain["seconds"] > 0
        assert plain["parameters"] > 1_000
    assert rows[0].baseline == rows[1].baseline


def test_baselines_need_no_training():
    splits = Splits(
        train=[SimpleNamespace(label=label) for label in "abbab"],
        dev=[],
        test=[Example("one", "一"), Example("two", "二")],
    )
    assert [each.text for each in copied(None, splits)] == ["one", "two"]
    assert [each.label for each in most_frequent(None, splits)] == ["b", "b"]


def test_refuses_what_is_not_there():
    with pytest.raises(ConfigError, match="task must be one of"):
        compare_tasks(minutes=1, tasks=["translatoin"])
    with pytest.raises(ConfigError, match="minutes must be above 0, got 0"):
        compare_tasks(minutes=0)
