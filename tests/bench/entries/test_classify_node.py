"""What labels nodes without a network: by features alone, and by edges alone."""

import numpy as np

from heedful.bench.entries.classify_node import ENTRY, FEW, features_of, propagated
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_node.task import ClassifyNode


def fitted(**data):
    config = parse_config({"task": "classify-node", "data": data})
    splits = ClassifyNode.read(config)
    return ClassifyNode.fit(config, splits.train), splits, config


def test_baselines_are_better_than_the_trivial_one():
    task, splits, _ = fitted(nodes=300, labels=3, train_share=0.4)
    metric = task.metric("accuracy")
    trivial, *others = (
        metric.score(metric.statistics(each(task, splits), splits.test))
        for each in ENTRY.baselines.values()
    )
    assert min(others) > trivial + 15


def test_labels_spread_over_edges(tmp_path):
    """Two chains, each with a label at its end: whoever is linked to it has it, whatever he is."""
    names = [f"{chain}{n}" for chain in "ab" for n in range(6)]
    splits = {0: "train", 1: "dev"}
    lines = [f"{name},{name[0]},{splits.get(int(name[1]), 'test')},1" for name in names]
    (tmp_path / "n.csv").write_text("\n".join(["id,label,split,x", *lines, ""]))
    edges = [f"{chain}{n},{chain}{n + 1}" for chain in "ab" for n in range(5)]
    (tmp_path / "e.csv").write_text("\n".join(["from,to", *edges, ""]))
    files = {"nodes": str(tmp_path / "n.csv"), "edges": str(tmp_path / "e.csv")}
    task, splits, _ = fitted(name="tables", split="split", **files)
    found = [each.label for each in propagated(task, splits)]
    assert found == [node.id[0] for node in splits.test]


def test_features_are_those_of_the_nodes():
    task, splits, _ = fitted(nodes=100, labels=2)
    graph = task.known.graph
    found = features_of(task, splits.test[:3])
    assert found.shape == (3, graph.width)
    row = task.known.numbers[splits.test[2].id]
    part = slice(graph.starts[row], graph.starts[row + 1])
    assert np.array_equal(found[2, graph.columns[part]], graph.values[part])


def test_the_shift_is_to_nodes_with_few_neighbours():
    task, splits, config = fitted(nodes=300, labels=3)
    few = ENTRY.shift[1](config)
    degrees = task.known.graph.degrees()
    assert few
    assert set(few) < set(splits.test)
    assert max(degrees[task.known.numbers[node.id]] for node in few) <= FEW
