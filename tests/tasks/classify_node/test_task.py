"""Node classification keeps to what every task keeps to, and reads more than a node itself."""

import re
from typing import ClassVar

import pytest

from heedful.bench.entries.classify_node import ENTRY
from heedful.data.graph import Node
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_node.task import ClassifyNode
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import build, train

MODEL = {"width": 16, "heads": 2, "layers": 2}


class TestClassifyNode(ClassificationContract):
    task = ClassifyNode
    inputs = ("n1", "n17", "n5")
    learns = ("train.steps=40", "train.learning_rate=0.02", "model.dropout=0", "train.l2=0")
    remembered = 0.3
    tables: ClassVar = {
        "data": {"nodes": 120, "labels": 3, "train_share": 0.3},
        "model": {**MODEL, "score": "scaled_dot"},
        "train": {"steps": 6, "batch_size": 16, "evaluate_every": 0.5},
    }

    def test_the_picture_is_of_a_node_and_its_neighbours(self, run):
        task, example = run.task, run.task.parse(" n5 ")
        answer = task.answer(run.model, task.encode([example]))[0]
        picture = task.picture(run.model, example, answer)
        graph = task.known.graph
        neighbours = graph.edges[graph.edges[:, 0] == 5, 1]
        assert picture.source == ("n5", *(f"n{number}" for number in neighbours))
        assert picture.target == (answer.label,)
        assert sum(picture.weights[0]) == pytest.approx(1)

    def test_what_is_said_of_a_node(self, run):
        task, example = run.task, run.task.parse("n5")
        answer = task.answer(run.model, task.encode([example]))[0]
        assert task.to_json(example, answer).keys() == {"node", "label", "shares"}
        assert task.blank("x") == {"node": "x", "label": None, "shares": {}}
        assert task.warnings(example, answer) == []
        assert task.identity(example) == "n5"
        with pytest.raises(DataError, match="a node must be one of the 120 of the graph, got 'x'"):
            task.parse("x")

    def test_squares_of_weights_are_lost_too(self, run):
        heavy = run.task.config.train.model_copy(update={"l2": 3.0})
        task = ClassifyNode(
            run.config.model_copy(update={"train": heavy}), [*run.task.labels], run.task.known.graph
        )
        batch = task.encode(run.examples("dev")[:4]).batch(range(4), "cpu")
        squares = sum(
            (w**2).sum().item() for w in run.model.parameters() if w.requires_grad and w.ndim > 1
        )
        more = task.loss(run.model, batch)[0].item() - run.task.loss(run.model, batch)[0].item()
        assert more == pytest.approx(4 * (3.0 - 5e-4) / 2 * squares, rel=1e-3)


def test_a_node_without_an_edge_is_told(tmp_path):
    lines = ["id,label,x", "a,red,1", "b,blue,2", "c,red,3", "d,blue,1", "e,red,1", "f,blue,2"]
    (tmp_path / "n.csv").write_text("\n".join([*lines, ""]))
    (tmp_path / "e.csv").write_text("from,to\na,b\n")
    files = {"nodes": str(tmp_path / "n.csv"), "edges": str(tmp_path / "e.csv")}
    data = {"name": "tables", **files, "train_share": 0.4, "dev_share": 0.4}
    config = parse_config(
        {"task": "classify-node", "data": data, "model": {**MODEL, "score": "mean"}}
    )
    task = ClassifyNode.fit(config, ClassifyNode.read(config).train)
    model, example = build(task).eval(), task.parse("c")
    answer = task.answer(model, task.encode([example]))[0]
    assert task.warnings(example, answer) == [
        "c has no edge: nothing but its own features was read"
    ]
    assert task.warnings(task.parse("b"), answer) == []
    assert task.picture(model, example, answer) is None


def test_it_learns_more_than_the_most_frequent_label(tmp_path):
    tables = {
        "data": {"nodes": 300, "labels": 3, "train_share": 0.4},
        "model": {**MODEL, "dropout": 0.3},
        "train": {"steps": 60, "learning_rate": 0.05, "evaluate_every": 0.1},
    }
    config = parse_config({"task": "classify-node", "output": str(tmp_path / "run"), **tables})
    run = train(config, task=ClassifyNode)
    splits = ClassifyNode.read(config)
    metric = run.task.metric("accuracy")
    trivial = ENTRY.baselines["most frequent label"](run.task, splits)
    answers = run.task.answer(run.model, run.task.encode(splits.test))
    learned, known = (
        metric.score(metric.statistics(each, splits.test)) for each in (answers, trivial)
    )
    assert learned > known + 25


def test_training_needs_two_labels():
    config = parse_config({"task": "classify-node"})
    with pytest.raises(DataError, match=re.escape("must have two labels or more, got []")):
        ClassifyNode.fit(config, [])


def test_a_table_to_judge_with_names_nodes_of_the_graph(tmp_path):
    (tmp_path / "n.csv").write_text("id,label\n 0, red \n")
    (tmp_path / "n.tsv").write_text("0\tred\n")
    built_in = parse_config({"task": "classify-node"})
    data = {"name": "tables", "nodes": "n.csv", "edges": "e.csv"}
    of_tables = parse_config({"task": "classify-node", "data": data})
    for config, name in ((built_in, "n.tsv"), (of_tables, "n.csv")):
        assert ClassifyNode.read_file(config, tmp_path / name) == [Node("0", "red")]
