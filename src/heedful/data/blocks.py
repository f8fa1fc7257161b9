"""The built-in graph: blocks of nodes alike, and strange nodes that are linked to anybody."""

import numpy as np

from heedful.data.graph import Graph, Labelled

FEATURES = 12
STRANGE = 0.4  # share of nodes that belong to no block, and are linked to anybody


def made_graph(*, nodes: int, labels: int, seed: int) -> Labelled:
    """Make a graph of blocks: nodes of one label like to be linked, and have features alike.

    Some nodes are strange: they have no label, other features, and edges to anybody. Who can tell
    them by their features, and looks away, knows more than who takes the mean.

    Args:
        nodes: How many.
        labels: Blocks, each with a label.
        seed: Decides all of it.
    """
    draw = np.random.default_rng(seed)
    block = draw.integers(0, labels, nodes)
    strange = draw.random(nodes) < STRANGE
    centres = draw.normal(0, 1, (labels, FEATURES))
    features = 0.5 * centres[block] + draw.normal(0, 1, (nodes, FEATURES))
    features[strange] = draw.normal(0, 2, (int(strange.sum()), FEATURES))
    features[:, 0] = np.where(strange, 2, -1) + draw.normal(0, 0.5, nodes)
    alike = (block[:, None] == block) & ~strange[:, None] & ~strange
    either = strange[:, None] | strange
    chance = np.where(alike, 5 * labels, np.where(either, 12, 2)) / nodes
    edges = np.argwhere(np.triu(draw.random((nodes, nodes)) < chance, 1))
    ids = [f"n{number}" for number in range(nodes)]
    names = ["" if odd else f"block{number}" for odd, number in zip(strange, block, strict=True)]
    graph = Graph.of(ids, np.round(features, 3), edges)
    none = ("",) * nodes
    return Labelled(graph=graph, labels=tuple(names), splits=none, lines=(0,) * nodes)
