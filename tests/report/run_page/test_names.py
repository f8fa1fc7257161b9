"""Whatever a built-in task names in English has a name in Chinese."""

import importlib
import inspect
import re

import pytest

from heedful.report.run_page.names import CHINESE, METHODS, METRICS, TASKS
from heedful.report.run_page.words import Words
from heedful.tasks.catalog import BUILT_IN, find_task


def test_tasks_and_their_metrics_have_names():
    assert TASKS.keys() == BUILT_IN.keys()
    for name in BUILT_IN:
        task = find_task(name)
        assert {metric.name for metric in task.metrics} | {task.monitor} <= METRICS.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_stands_where_a_piece_was_removed_has_a_name(name):
    module = importlib.import_module(f"heedful.tasks.{name.replace('-', '_')}.question")
    said = re.findall(r'removal="([^"]+)"', inspect.getsource(module))
    said += [module.REMOVAL] if hasattr(module, "REMOVAL") else []
    assert said
    said += re.findall(r'"(log-[^"]+)"', inspect.getsource(module))
    said += re.findall(r'score="([^"]+)"', inspect.getsource(module))
    assert set(said) <= CHINESE.keys()


def test_methods_have_names():
    methods = importlib.import_module("heedful.explaining.methods").METHODS
    assert METHODS.keys() == set(methods)


def test_what_has_no_name_stays_as_it_is():
    assert Words("zh").named("dev_loss") == "开发集损失"
    assert Words("zh").named("my_own") == "my own"
    assert Words("en").named("dev_loss") == "dev loss"
