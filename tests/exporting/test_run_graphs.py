"""Every task: its model becomes graphs of any batch, or is refused with the reason."""

import importlib.util
import inspect
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from heedful.errors import UnsupportedError
from heedful.exporting import onnx_recurrent
from heedful.exporting.run_graphs import FEW, graphs_of, graphs_of_run
from heedful.models import recurrent
from heedful.probing.replace import replaced
from heedful.tasks.catalog import BUILT_IN, parse_config

TASKS = Path(__file__).parents[1] / "tasks"
WRITING = ("describe", "generate-text", "summarise", "translation")
PLACE_BY_PLACE = ("TestBidaf", "TestRateProduct")  # what only ONNX has an operator for


def contracts():
    """The small settings with which the tests of each task train."""
    for path in sorted(TASKS.glob("*/test_task.py")):
        spec = importlib.util.spec_from_file_location(f"contract_of_{path.parent.name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, found in vars(module).items():
            if inspect.isclass(found) and name.startswith("Test") and hasattr(found, "tables"):
                yield pytest.param(name, found.task, found.tables, id=name)


def made(task, tables):
    """A task with a model that has learned nothing, and a few examples."""
    torch.manual_seed(0)
    name = task.config_class.model_fields["task"].default
    config = task.located(
        parse_config({**tables, "task": name}, overrides=['output="x"'], source=task)
    )
    splits = task.read(config)
    fitted = task.fit(config, splits.train)
    return fitted, fitted.build().eval(), splits.test[:12]


CONTRACTS = list(contracts())


def test_without_a_test_split_graphs_are_tried_with_the_other_one():
    _, task, tables = next(each.values for each in CONTRACTS if each.id == "TestClassifyText")
    fitted, model, few = made(task, tables)
    held_out = {"dev": few, "test": []}
    run = SimpleNamespace(task=fitted, model=model, examples=held_out.__getitem__)
    (graph,) = graphs_of_run(run).graphs
    assert len(graph.cases) >= 1


def test_what_the_first_few_examples_have_alike_is_not_fixed():
    _, task, tables = next(each.values for each in CONTRACTS if each.id == "TestSasrec")
    fitted, model, few = made(task, tables)
    long = [each for each in few if len(each.items) == max(len(one.items) for one in few)]
    short = replace(long[0], items=long[0].items[-1:])
    held_out = {"test": (20 * long)[:FEW], "dev": [short]}
    run = SimpleNamespace(task=fitted, model=model, examples=held_out.__getitem__)
    (graph,) = graphs_of_run(run).graphs
    assert graph.axes["items"].keys() == {0, 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, task, tables", CONTRACTS)
def test_every_task_becomes_a_graph(name, task, tables):
    found = graphs_of(*made(task, tables))
    writes = task.config_class.model_fields["task"].default in WRITING
    assert [graph.name for graph in found.graphs] == (["start", "step"] if writes else ["model"])
    graph = found.graphs[-1]
    assert {"batch"} <= {size for axes in graph.axes.values() for size in axes.values()}
    if name in PLACE_BY_PLACE:
        with pytest.raises(UnsupportedError, match="LSTM that reads place by place"):
            graph.program(plain=False)
        with replaced(recurrent, "read", onnx_recurrent.read):
            graph.program(plain=False)
        return
    module = graph.program(plain=False).module()
    for case in graph.cases:
        with torch.no_grad():
            got = module(*case)
        for ours, theirs in zip(graph.run(case), got, strict=True):
            torch.testing.assert_close(theirs, ours, equal_nan=True, rtol=1e-4, atol=1e-4)


def test_no_task_is_left_out():
    tasks = [each.values[1] for each in CONTRACTS]
    seen = {task.config_class.model_fields["task"].default for task in tasks}
    assert set(BUILT_IN) - seen == {"translation"}  # which has tests of its own here
