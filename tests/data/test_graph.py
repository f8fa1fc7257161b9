"""Graphs are read whole or refused with their line, and come back as they were written."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.graph import (
    Graph,
    Labelled,
    check_known,
    drawn_splits,
    read_graph,
)
from heedful.errors import DataError, RunError

NODES = "id,label,x,y\na,red,1,0\nb,,0,2.5\nc,blue,0,0\n"
EDGES = "from,to\na,b\nb,a\nc,c\nc,a\n"


@pytest.fixture
def write(tmp_path):
    """Write two tables and return their paths."""

    def written(nodes=NODES, edges=EDGES):
        paths = tmp_path / "nodes.csv", tmp_path / "edges.csv"
        for path, text in zip(paths, (nodes, edges), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    return written


def dense(graph):
    found = np.zeros((len(graph), graph.width))
    for node in range(len(graph)):
        part = slice(graph.starts[node], graph.starts[node + 1])
        found[node, graph.columns[part]] = graph.values[part]
    return found


def test_tables_are_read(write):
    found = read_graph(*write())
    assert found.graph.ids == ("a", "b", "c")
    assert dense(found.graph).tolist() == [[1, 0], [0, 2.5], [0, 0]]
    # both directions, each once, and none of a node and itself
    assert found.graph.edges.tolist() == [[0, 1], [0, 2], [1, 0], [2, 0]]
    assert found.graph.degrees().tolist() == [2, 1, 1]
    assert (found.labels, found.splits, found.lines) == (
        ("red", "", "blue"),
        ("",) * 3,
        (2, 3, 4),
    )


def test_columns_have_the_names_that_are_given(write):
    nodes = "who,part,what,x\na,train,red,1\nb,,,2\n"
    paths = write(nodes, "one\tother\na\tb\n".replace("\t", ","))
    names = {"name": "who", "label": "what", "split": "part", "ends": ("other", "one")}
    found = read_graph(*paths, **names)
    assert (found.labels, found.splits) == (("red", ""), ("train", ""))
    assert dense(found.graph).tolist() == [[1], [2]]


@settings(max_examples=40, deadline=None)
@given(
    features=st.lists(
        st.lists(st.sampled_from([0, 0, 1.5, -2]), min_size=3, max_size=3), min_size=2, max_size=7
    ),
    data=st.data(),
)
def test_any_graph_comes_back(tmp_path_factory, features, data):
    size = len(features)
    node = st.integers(0, size - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=9))
    ids = [f"é{n}" for n in range(size)]
    graph = Graph.of(ids, np.array(features, float), np.array(edges, np.int64).reshape(-1, 2))
    assert dense(graph).tolist() == features
    wanted = {pair for a, b in edges if a != b for pair in ((a, b), (b, a))}
    assert graph.edges.tolist() == sorted(map(list, wanted))
    folder = tmp_path_factory.mktemp("graph")
    graph.save(folder / "g", folder / "n")
    again = Graph.load(folder / "g", folder / "n")
    assert (again.ids, again.width) == (graph.ids, graph.width)
    for name in ("starts", "columns", "values", "edges"):
        one, other = getattr(graph, name), getattr(again, name)
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


def test_features_are_normalised():
    draw = np.random.default_rng(0)
    features = draw.normal(3, 2, (20, 4)) * (draw.random((20, 4)) < 0.6)
    features[:, 3] = 7
    features[5] = 0
    graph = Graph.of([str(n) for n in range(20)], features, np.array([[0, 1]]))
    rows, columns = dense(graph.normalised("rows")), dense(graph.normalised("columns"))
    sums = np.abs(features).sum(1, keepdims=True)
    np.testing.assert_allclose(rows, features / np.where(sums, sums, 1), rtol=1e-5)
    deviation = features.std(0)
    np.testing.assert_allclose(columns, (features - features.mean(0)) / deviation, atol=1e-5)
    assert graph.normalised("none") is graph
    assert graph.normalised("columns").edges is graph.edges
    still = Graph.of(["a", "b"], np.full((2, 1), 4.0), np.zeros((0, 2), int))
    assert dense(still.normalised("columns")).tolist() == [[0], [0]]


@pytest.mark.parametrize(
    "nodes, edges, message",
    [
        (NODES, "from,to\na,b\na,d\n", "edges.csv:3 must have a node of"),
        (NODES, "from,to\na,b\na,d\n", "in column 'to', got 'd'"),
        (NODES, "from,to\na,\n", "edges.csv:2 must have a text in column 'to', got ''"),
        (NODES, "from\na\n", "edges.csv:1 must have one column 'to', got from"),
        (NODES + "a,red,1,1\n", EDGES, "nodes.csv:5 must have an id of its own, got 'a' again"),
        (NODES + ",red,1,1\n", EDGES, "nodes.csv:5 must have a text in column 'id', got ''"),
        (NODES + "d,red,1,\n", EDGES, "nodes.csv:5 must have a number in column 'y', got ''"),
        (NODES + "d,red,1,x\n", EDGES, "nodes.csv:5 must have a number in column 'y', got 'x'"),
        (NODES + '"d\ne",red,1,1\n', EDGES, r"nodes.csv:6 must have an id of one line, got 'd\ne'"),
        (NODES + "d,red,1\n", EDGES, "nodes.csv:5 must have 4 columns like the first line, got 3"),
        (
            "id,label\na,b\n",
            EDGES,
            "nodes.csv:1 must have columns of features with names, got none",
        ),
        (
            "id,label,7\na,b,1\n",
            EDGES,
            "nodes.csv:1 must have columns of features with names, got '7'",
        ),
        ("id,x\na,1\n", EDGES, "nodes.csv:1 must have one column 'label', got id, x"),
    ],
)
def test_bad_tables_are_refused_with_their_line(write, nodes, edges, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_graph(*write(nodes, edges))


def test_a_split_has_one_of_three_names(write):
    paths = write("id,label,part,x\na,red,train,1\nb,red,tset,1\n", "from,to\na,b\n")
    with pytest.raises(DataError, match=r"nodes.csv:3 must be of train, dev or test, got 'tset'"):
        read_graph(*paths, split="part")


@pytest.mark.parametrize("name", ["starts", "columns", "values", "edges"])
def test_damaged_graphs_are_refused(tmp_path, name):
    features = np.array([[1.0, 0], [2, 3]])
    paths = tmp_path / "g", tmp_path / "n"
    graph = Graph.of(["a", "b"], features, np.array([[0, 1]]))
    wrong = {"starts": [0, 9, 3], "columns": [0, 1, 2], "edges": [[0, 2]], "values": [1, np.nan, 2]}
    array = np.array(wrong[name], getattr(graph, name).dtype)
    Graph(**{**vars(graph), name: array}).save(*paths)
    with pytest.raises(RunError, match="must be a whole graph, got numbers that do not fit"):
        Graph.load(*paths)
    graph.save(*paths)
    paths[0].write_bytes(paths[0].read_bytes()[:-5])
    with pytest.raises(RunError, match="g must be a whole graph, got: "):
        Graph.load(*paths)


def test_ids_that_are_not_as_many_are_refused(tmp_path):
    paths = tmp_path / "g", tmp_path / "n"
    graph = Graph.of(["a", "b"], np.ones((2, 1)), np.array([[0, 1]]))
    for text in ("a\n", "a\na\n", "a\nb\nc\n"):
        graph.save(*paths)
        paths[1].write_text(text)
        with pytest.raises(RunError, match="must be a whole graph"):
            Graph.load(*paths)


def test_drawn_splits_have_their_shares_of_every_label():
    labels = ["a"] * 50 + ["b"] * 10 + [""] * 5 + ["c"]
    splits = drawn_splits(labels, train=0.6, dev=0.2, seed=1)
    counts = {
        (label, split): sum(pair == (label, split) for pair in zip(labels, splits, strict=True))
        for label in "abc"
        for split in ("train", "dev", "test")
    }
    assert [counts["a", split] for split in ("train", "dev", "test")] == [30, 10, 10]
    assert [counts["b", split] for split in ("train", "dev", "test")] == [6, 2, 2]
    assert counts["c", "train"] == 1
    assert {*splits[60:65]} == {""}
    assert splits != drawn_splits(labels, train=0.6, dev=0.2, seed=2)


@pytest.mark.parametrize(
    "labels, splits, message",
    [
        (("a", "b"), ("train", "dev"), "n.csv:9 must have a label of the training split, got 'b'"),
        (("a", ""), ("train", "test"), "n.csv:9 must have a label to be of test, got none"),
    ],
)
def test_held_out_labels_must_be_known(labels, splits, message):
    graph = Graph.of(["x", "y"], np.ones((2, 1)), np.array([[0, 1]]))
    found = Labelled(graph=graph, labels=labels, splits=splits, lines=(8, 9))
    with pytest.raises(DataError, match=message):
        check_known("n.csv", found, splits)
