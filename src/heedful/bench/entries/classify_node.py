"""Node classification: attention over neighbours or their mean, beside what has no network."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from heedful.bench.baselines import logistic_regression, most_frequent
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.graph import Graph, Node
from heedful.tasks.base import Task
from heedful.tasks.classify_node.nodes import open_graph, read_nodes

SHARES = (0.5, 0.8, 0.9, 0.95)  # of what a node takes from its neighbours
ROUNDS = 100
FEW = 4  # neighbours
AnyTask = Task[Any, Any]


def features_of(task: AnyTask, nodes: Sequence[Node]) -> Any:
    """Return the features of nodes, those of their neighbours left out."""
    graph = _graph(task)
    features = np.zeros((len(graph), graph.width), np.float32)
    features[np.repeat(np.arange(len(graph)), np.diff(graph.starts)), graph.columns] = graph.values
    return features[_rows(task, nodes)]


def propagated(task: AnyTask, splits: Splits[Node]) -> list[Any]:
    """Label nodes by their neighbours' labels alone, spread over edges again and again.

    Source:
        Zhou et al. 2003, "Learning with local and global consistency", section 2; the share is
        chosen on dev.
    """
    graph, names = _graph(task), sorted({node.label for node in splits.train})
    known = np.zeros((len(graph), len(names)))
    for row, node in zip(_rows(task, splits.train), splits.train, strict=True):
        known[row, names.index(node.label)] = 1
    root = np.maximum(graph.degrees(), 1) ** -0.5
    here, there = graph.edges.T
    weights = root[here] * root[there]

    def spread(share: float) -> list[str]:
        found = known
        for _ in range(ROUNDS):
            sums = np.zeros_like(known)
            np.add.at(sums, here, weights[:, None] * found[there])
            found = share * sums + (1 - share) * known
        return [names[number] for number in found.argmax(1)]

    dev = _rows(task, splits.dev)
    best = max(
        map(spread, SHARES),
        key=lambda said: sum(said[r] == n.label for r, n in zip(dev, splits.dev, strict=True)),
    )
    return _said(best[row] for row in _rows(task, splits.test))


def with_few_neighbours(config: Any) -> list[Node]:
    """Return the test nodes with few neighbours."""
    graph, test = open_graph(config).graph, read_nodes(config).test
    few = dict(zip(graph.ids, graph.degrees() <= FEW, strict=True))
    return [node for node in test if few[node.id]]


def _graph(task: AnyTask) -> Graph:
    known: Any = task
    return known.known.graph


def _rows(task: AnyTask, nodes: Sequence[Node]) -> list[int]:
    known: Any = task
    return [known.known.numbers[node.id] for node in nodes]


def _said(labels: Any) -> list[Any]:
    return [SimpleNamespace(label=str(label)) for label in labels]


ENTRY = Entry(
    metric="accuracy",
    models={
        "additive attention": {},
        "scaled dot products": {"model": {"score": "scaled_dot"}},
        "graph Transformer": {"model": {"name": "transformer"}},
        "mean of neighbours": {"model": {"score": "mean"}},
    },
    baselines={
        "most frequent label": most_frequent,
        "logistic regression": logistic_regression(features_of),
        "label propagation": propagated,
    },
    data="blocks with strange nodes",
    budget="accuracy 2",
    shift=("four neighbours or fewer", with_few_neighbours),
)
