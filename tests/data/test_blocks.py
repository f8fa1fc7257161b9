"""Made graphs have blocks, and strange nodes that can be told by their features."""

import numpy as np

from heedful.data.blocks import made_graph


def test_made_graphs_have_blocks_and_strange_nodes():
    made, again = (made_graph(nodes=400, labels=3, seed=2) for _ in range(2))
    assert np.array_equal(made.graph.edges, again.graph.edges)
    labels = np.array(made.labels)
    assert {*labels} == {"", "block0", "block1", "block2"}
    here, there = labels[made.graph.edges].T
    known = (here != "") & (there != "")
    assert (here == there)[known].mean() > 0.6  # nodes of one label like each other
    assert 0.2 < (labels == "").mean() < 0.6
    rows = np.repeat(np.arange(400), np.diff(made.graph.starts))
    first = np.zeros(400)
    first[rows[made.graph.columns == 0]] = made.graph.values[made.graph.columns == 0]
    assert first[labels == ""].mean() > 1 > 0 > first[labels != ""].mean()
