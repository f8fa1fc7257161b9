"""Why a node has its label: itself and its neighbours, and the graph without some of them."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.data.graph import Graph
from heedful.explaining.question import Question
from heedful.explaining.scores import label_odds
from heedful.models.node_classifier import GraphTensors
from heedful.tasks.classification import Prediction

if TYPE_CHECKING:
    from heedful.tasks.classify_node.nodes import Node
    from heedful.tasks.classify_node.task import ClassifyNode

REMOVAL = "taken out of the graph, the node itself without features"


class Copies(NamedTuple):
    """Copies of what is around a node.

    Args:
        graph: All of them beside each other.
        asked: The node in each.
    """

    graph: GraphTensors
    asked: Tensor


def why_node(
    task: "ClassifyNode", model: nn.Module, example: "Node", answer: Prediction
) -> Question:
    """Ask why a node has its label: which of itself and of its neighbours speak for it.

    Without features a node still sees its neighbours; these go with their edges, and with all that
    they alone lead to. Only what as many layers as the model has can reach is computed, once for
    each copy.

    Args:
        task: With its graph.
        model: That gave the answer.
        example: The node.
        answer: Whose label is asked for.
    """
    graph, layers = task.known.graph, task.config.model.layers
    row = task.known.numbers[example.id]
    part = _part(graph, _within(graph, row, layers))
    pieces = len(_within(graph, row, 1))  # the nearest stand first
    label = task.labels[answer.label]

    def inputs(kept: Tensor) -> Copies:
        there = np.ones((len(kept), len(part)), bool)
        there[:, :pieces] = kept.cpu().numpy()
        return _copies(part, there, layers, kept.device)

    def scores(model: nn.Module, copies: Copies) -> Tensor:
        logits = task.logits(model, {"graph": copies.graph, "node": copies.asked})
        return label_odds(logits, label)

    return Question(
        pieces=part.ids[:pieces],
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        title=f"{example.id} → {answer.label}: itself and its neighbours",
    )


def _within(graph: Graph, node: int, steps: int) -> NDArray[np.int64]:
    """The nodes that few steps reach, from the node itself on."""
    order, seen = [np.array([node])], {node}
    for _ in range(steps):
        reached = graph.edges[np.isin(graph.edges[:, 0], order[-1]), 1]
        fresh = [each for each in np.unique(reached).tolist() if each not in seen]
        seen.update(fresh)
        order.append(np.array(fresh, np.int64))
    return np.concatenate(order)


def _part(graph: Graph, nodes: NDArray[np.int64]) -> Graph:
    """These nodes alone, numbered in this order, with the edges between them."""
    number = np.full(len(graph), -1)
    number[nodes] = np.arange(len(nodes))
    edges = number[graph.edges]
    ends = zip(graph.starts[nodes].tolist(), graph.starts[nodes + 1].tolist(), strict=True)
    rows = [np.arange(*pair) for pair in ends]
    values = np.concatenate(rows)
    return replace(
        graph,
        ids=tuple(graph.ids[node] for node in nodes),
        starts=np.cumsum([0, *map(len, rows)]),
        columns=graph.columns[values],
        values=graph.values[values],
        edges=np.unique(edges[(edges >= 0).all(1)], axis=0).reshape(-1, 2),
    )


def _copies(part: Graph, there: NDArray[np.bool_], steps: int, device: torch.device) -> Copies:
    """Copies of a graph beside each other, each without some nodes and what they alone led to."""
    linked = there.copy()
    linked[:, 0] = True  # without features it still sees its neighbours
    first, second = part.edges.T
    seen = linked[:, first] & linked[:, second]
    near = np.zeros_like(there)
    near[:, 0] = True
    for _ in range(steps):
        copies, edges = np.nonzero(seen & near[:, first])
        near[copies, second[edges]] = True
    seen &= near[:, first] & near[:, second]
    number = near.ravel().cumsum().reshape(near.shape) - 1  # nobody else is computed
    copies, edges = np.nonzero(seen)
    links = np.stack([number[copies, first[edges]], number[copies, second[edges]]], axis=1)
    counts = np.diff(part.starts)
    known = (there & near)[:, np.repeat(np.arange(len(part)), counts)]
    starts = np.cumsum((counts * there)[near]) - (counts * there)[near]
    arrays = (
        starts,
        np.broadcast_to(part.columns, known.shape)[known],
        np.broadcast_to(part.values, known.shape)[known],
        links,
        number[:, 0],
    )
    begins, columns, values, pairs, asked = (torch.from_numpy(x).to(device) for x in arrays)
    graph = GraphTensors(starts=begins, columns=columns, values=values, edges=pairs)
    return Copies(graph, asked)
