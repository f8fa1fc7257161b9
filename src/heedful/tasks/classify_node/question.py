"""Why a node has its label: itself and its neighbours, and the graph without some of them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.data.graph import Graph
from heedful.explaining.question import Question
from heedful.explaining.scores import label_odds
from heedful.models.node_classifier import GraphTensors
from heedful.nn.neighbours import Neighbours
from heedful.tasks.classification import Prediction

if TYPE_CHECKING:
    from heedful.tasks.classify_node.nodes import Node
    from heedful.tasks.classify_node.task import ClassifyNode

REMOVAL = "taken out of the graph, the node itself without features"


def why_node(
    task: "ClassifyNode", model: nn.Module, example: "Node", answer: Prediction
) -> Question:
    """Ask why a node has its label.

    Only what as many layers as the model has can reach is computed, once for each copy.

    Args:
        task: With its graph.
        model: That gave the answer.
        example: The node.
        answer: Whose label is asked for.
    """
    graph, layers = task.known.graph, task.config.model.layers
    near = _within(graph, task.known.numbers[example.id], layers)
    part = _part(graph, near)
    neighbours = part.edges[part.edges[:, 0] == 0, 1]
    pieces = np.concatenate([[0], neighbours])
    label = task.labels[answer.label]

    def inputs(kept: Tensor) -> GraphTensors:
        there = torch.ones(len(kept), len(near), dtype=torch.bool)
        there[:, pieces] = kept.cpu()
        return _copies(part, there.numpy(), kept.device)

    def scores(model: nn.Module, copies: GraphTensors) -> Tensor:
        nodes = torch.arange(0, len(copies.starts), len(near), device=copies.starts.device)
        logits = task.logits(model, {"graph": copies, "node": nodes})
        return label_odds(logits, label)

    return Question(
        pieces=tuple(part.ids[piece] for piece in pieces),
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


def _copies(part: Graph, there: NDArray[np.bool_], device: torch.device) -> GraphTensors:
    """Copies of a graph beside each other, each without some nodes: their edges and features."""
    copies, nodes = there.shape
    first = nodes * np.arange(copies)[:, None]
    seen = there[:, part.edges[:, 0]] & there[:, part.edges[:, 1]]
    edges = (part.edges[None] + first[:, None])[seen]
    of_value = np.repeat(np.arange(nodes), np.diff(part.starts))
    known = there[:, of_value]
    counts = np.diff(part.starts) * there
    starts = np.concatenate([[0], np.cumsum(counts.ravel())])
    arrays = (
        starts[:-1],
        np.broadcast_to(part.columns, known.shape)[known],
        np.broadcast_to(part.values, known.shape)[known],
        edges,
    )
    begins, columns, values, links = (torch.from_numpy(each).to(device) for each in arrays)
    neighbours = Neighbours.of(links, nodes=copies * nodes)
    return GraphTensors(starts=begins, columns=columns, values=values, neighbours=neighbours)
