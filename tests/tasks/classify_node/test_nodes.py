"""Nodes come from tables with splits of their own, or drawn ones; batches hold all of the graph."""

import re

import numpy as np
import pytest
import torch

from heedful.data.graph import Node
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_node.nodes import Known, Nodes, open_graph, read_nodes

NODES = ["id,label,part,x", "a,red,train,1", "b,blue,train,2", "c,red,dev,3", "d,red,test,4"]


@pytest.fixture
def config(tmp_path):
    """Tables in files, and a config that reads them."""

    def made(nodes=NODES, **data):
        paths = {"nodes": tmp_path / "nodes.csv", "edges": tmp_path / "edges.csv"}
        paths["nodes"].write_text("\n".join([*nodes, ""]))
        paths["edges"].write_text("from,to\na,b\nc,d\n")
        section = {"name": "tables", "split": "part", **{k: str(p) for k, p in paths.items()}}
        return parse_config({"task": "classify-node", "data": {**section, **data}})

    return made


def test_splits_of_a_table_are_kept(config):
    splits = read_nodes(config([*NODES, "e,,,5", "f,green,,6"]))
    assert splits.train == [Node("a", "red"), Node("b", "blue")]
    assert (splits.dev, splits.test) == ([Node("c", "red")], [Node("d", "red")])


def test_splits_are_drawn_where_there_is_no_column(config):
    lines = ["id,label,x", *(f"{n},{'red' if n < 'n' else ''},1" for n in "abcdefghijklmnopqrst")]
    splits = read_nodes(config(lines, split=""))
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [8, 3, 2]
    assert read_nodes(parse_config({"task": "classify-node"})).dev


def test_a_changed_table_is_read_again(config):
    assert len(open_graph(config()).graph) == 4
    assert len(open_graph(config([*NODES, "e,,,50"])).graph) == 5


@pytest.mark.parametrize(
    "lines, message",
    [
        ([*NODES, "e,green,test,5"], "nodes.csv:6 must have a label of the training split"),
        ([*NODES, "e,,dev,5"], "nodes.csv:6 must have a label to be of dev, got none"),
        ([*NODES, "e,red,tst,5"], "nodes.csv:6 must be of train, dev or test, got 'tst'"),
    ],
)
def test_wrong_splits_are_refused_with_their_line(config, lines, message):
    with pytest.raises(DataError, match=message):
        read_nodes(config(lines))


def test_a_missing_table_is_refused(config, tmp_path):
    settings = config()
    (tmp_path / "edges.csv").unlink()
    with pytest.raises(DataError, match=r"edges.csv must be a table, got: No such file"):
        read_nodes(settings)
    with pytest.raises(DataError, match="must be a table, got: embedded null byte"):
        read_nodes(config(nodes=NODES, edges="a\0b"))


def test_batches_hold_nodes_and_all_of_the_graph(config):
    known = Known(open_graph(config()).graph)
    nodes = [Node("d", "red"), Node("b"), Node("a", "red")]
    data = Nodes(known, nodes, np.array([1, -100, 1]))
    batch = data.batch([2, 0], "cpu")
    assert batch["node"].tolist() == [0, 3]
    assert batch["label"].tolist() == [1, 1]
    assert batch["graph"] is known.tensors(torch.device("cpu"))
    assert len(batch["graph"].starts) == 4
    assert (len(data), data.sizes.tolist(), data.amounts.tolist()) == (3, [[1]] * 3, [1] * 3)
    assert data.fingerprint() != Nodes(known, nodes, np.array([1, -100, 0])).fingerprint()
    with pytest.raises(
        DataError, match=re.escape("a node must be one of the 4 of the graph, got 'e'")
    ):
        Nodes(known, [Node("e")], np.array([0]))
