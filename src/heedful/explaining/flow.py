"""Attention flow: as much as pipes as wide as the weights could carry from a target to a piece."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from heedful.errors import MissingExtraError, UnsupportedError
from heedful.explaining._backwards import mean_of_heads
from heedful.explaining._hops import check_places, hops, sizes
from heedful.explaining.looks import Looks, look
from heedful.explaining.maps import Maps
from heedful.explaining.question import NOWHERE, Question

UNIT = 2**24  # capacities are whole numbers: what float32 tells apart
WIDE = 2**30  # wider than all that can flow
MOST_EDGES = 4_000_000


def flow(model: nn.Module, question: Question) -> Maps:
    """Return the largest flow from where each target is read to each piece, one at a time.

    Every place is a node at every layer, and a weight is the capacity of an edge: half of the mean
    of the heads' weights, and half for staying where one is.

    Args:
        model: Of which the question is.
        question: What is asked.

    Raises:
        MissingExtraError: scipy is not installed.
        UnsupportedError: The model has no attention that leads to its input, or more than four
            million weights that are not zero.

    Source:
        Abnar and Zuidema 2020, arXiv:2005.00928, section 3 (attention flow).

    Cost:
        One forward pass, all weights in memory, and a maximum flow for each target and piece.
        Capacities are rounded to 1 / 2^24.
    """
    looks, _ = look(model, question)
    network = _Network(looks, question)
    rows = [network.flows(target) for target in range(len(question.targets))]
    return Maps(np.array(rows), looks.error)


class _Network:
    """A graph of all places at all layers.

    Nodes of a sequence are made anew by each step that looks from it; its edges lead to the nodes
    that were there before.

    Args:
        looks: The maps along the route.
        question: Whose pieces.
    """

    def __init__(self, looks: Looks, question: Question) -> None:
        self._csgraph, self._csr = _scipy()
        self._edges: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._count, self._nodes = 0, 0
        self._route, self._pieces = looks.route, len(question.pieces)
        self._last: dict[str, NDArray[np.int64]] = {}  # nodes of each sequence as it is by now
        self._first: dict[str, NDArray[np.int64]] = {}
        for step in looks.route.steps:
            size = sizes(looks, step)
            for name, places in zip((step.queries, step.keys), size, strict=True):
                if name not in self._last:
                    self._last[name] = self._first[name] = self._new(places)
            check_places(step, len(self._last[step.queries]), *size)
            keys, before = self._last[step.keys], self._last[step.queries]
            nodes = self._last[step.queries] = self._new(len(before))
            share = 0.5 if step.residual else 1.0
            if step.residual:
                self._join(nodes, before, np.full(len(nodes), share))
            for hop in hops(looks, step, mean_of_heads):
                row, column = hop.weights[0].nonzero(as_tuple=True)
                widths = share * hop.weights[0, row, column].double().numpy()
                self._join(nodes[hop.queries[row]], keys[hop.keys[column]], widths)
        self._graph = self._joined()

    def flows(self, target: int) -> list[float]:
        """Return what can flow from where a target is read to each piece."""
        rows, answer = self._route.rows, self._last[self._route.answer]
        source = self._source if rows is None else int(answer[rows[target]])
        return [
            int(self._csgraph.maximum_flow(self._graph, source, sink).flow_value) / UNIT
            for sink in self._sinks.tolist()
        ]

    def _new(self, places: int) -> NDArray[np.int64]:
        self._nodes += places
        return np.arange(self._nodes - places, self._nodes)

    def _join(
        self, tails: NDArray[np.int64], heads: NDArray[np.int64], widths: NDArray[np.float64]
    ) -> None:
        self._count += len(tails)
        if self._count > MOST_EDGES:
            raise UnsupportedError(
                f"attention flow must have at most {MOST_EDGES} weights, got {self._count} "
                "or more; rollout has no such limit"
            )
        self._edges.append((tails, heads, widths))

    def _joined(self) -> Any:
        """All edges as a sparse matrix; a node behind each piece, and one before the answer."""
        self._sinks = self._new(self._pieces)
        for name, places in self._route.places.items():
            pieces = np.array(places)
            there = np.flatnonzero(pieces != NOWHERE)
            wide = np.full(len(there), WIDE / UNIT)
            if name in self._first:
                self._join(self._first[name][there], self._sinks[pieces[there]], wide)
        (self._source,) = self._new(1).tolist()
        answer = self._last[self._route.answer]
        read = answer[: len(self._route.places.get(self._route.answer, answer))]
        self._join(np.full(len(read), self._source), read, np.full(len(read), 1 / len(read)))
        tails, heads, widths = (
            np.concatenate([*parts]) for parts in zip(*self._edges, strict=True)
        )
        whole = np.rint(widths * UNIT).astype(np.int32)
        return self._csr((whole, (tails, heads)), shape=(self._nodes, self._nodes))


def _scipy() -> tuple[Any, Any]:
    try:
        from scipy.sparse import csgraph, csr_array
    except ImportError:
        raise MissingExtraError(
            "attention flow needs the package scipy, got none. Run: pip install 'heedful[explain]'"
        ) from None
    return csgraph, csr_array
