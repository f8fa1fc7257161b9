"""Every built-in task has an entry, whose models are configs and whose baselines answer."""

from pathlib import Path

import pytest

from heedful.bench.entry import find_entry
from heedful.errors import ConfigError
from heedful.optimizing.budget import as_budget
from heedful.tasks.catalog import BUILT_IN, find_task, parse_config

FOLDER = Path(__file__).parents[2] / "src" / "heedful" / "bench" / "entries"


def test_every_task_is_there():
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("[!_]*.py")}
    assert files == BUILT_IN.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_model_is_a_config_that_can_be_built(name):
    entry, kind = find_entry(name), find_task(name)
    assert kind.metric(entry.metric) is not None
    configs = [
        parse_config({**entry.tables, **model, "task": name}) for model in entry.models.values()
    ]
    assert [kind.problem(config) for config in configs] == [None] * len(configs)
    assert len({str(config.model) for config in configs}) == len(configs)
    assert entry.baselines
    lower = [metric.name for metric in kind.metrics if not metric.higher_is_better]
    assert as_budget(entry.budget, lower_is_better=lower).metric == entry.metric


def test_refuses_what_is_not_there():
    with pytest.raises(ConfigError, match=r"task must be one of .*, got \"translatoin\""):
        find_entry("translatoin")
