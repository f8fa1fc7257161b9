"""Nodes of one graph, read or made, and made ready for batches that hold all of it."""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.data.blocks import made_graph
from heedful.data.examples import Splits
from heedful.data.graph import (
    Graph,
    Labelled,
    Node,
    check_known,
    drawn_splits,
    read_graph,
)
from heedful.data.hashes import checksums
from heedful.data.ragged import Ints
from heedful.errors import DataError
from heedful.tasks.classify_node.config import BlocksData, Config, TablesData

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from heedful.models.node_classifier import GraphTensors


def open_graph(config: Config) -> Labelled:
    """Read or make the graph.

    Raises:
        DataError: A table cannot be used.
    """
    data = config.data
    if isinstance(data, BlocksData):
        return _made(data.nodes, data.labels, config.seed)
    changed = tuple(_changed(path) for path in (data.nodes, data.edges))
    return _read(data.model_dump_json(), changed)


def read_nodes(config: Config) -> Splits[Node]:
    """Return the nodes of each split.

    Raises:
        DataError: A table cannot be used, or a split has a label that the training split has not.
    """
    data, found = config.data, open_graph(config)
    splits = found.splits
    if isinstance(data, BlocksData) or not data.split:
        splits = drawn_splits(
            found.labels, train=data.train_share, dev=data.dev_share, seed=config.seed
        )
    name = "made blocks" if isinstance(data, BlocksData) else data.nodes
    check_known(name, found, splits)
    rows = list(zip(found.graph.ids, found.labels, splits, strict=True))
    parts = (
        [Node(own, label) for own, label, part in rows if part == split]
        for split in ("train", "dev", "test")
    )
    return Splits(*parts)


@lru_cache(maxsize=2)
def _made(nodes: int, labels: int, seed: int) -> Labelled:
    return made_graph(nodes=nodes, labels=labels, seed=seed)


@lru_cache(maxsize=2)
def _read(plain: str, changed: tuple[tuple[int, int], ...]) -> Labelled:
    data = TablesData.model_validate_json(plain)
    return read_graph(
        data.nodes,
        data.edges,
        name=data.id,
        label=data.label,
        split=data.split,
        ends=(data.source, data.target),
    )


def _changed(path: str) -> tuple[int, int]:
    """What is another number when a file is another one."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{path} must be a table, got: {said}") from None
    return found.st_mtime_ns, found.st_size


class Known:
    """A graph, and its tensors wherever they are needed: made once for each device.

    Args:
        graph: With features as the network reads them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.numbers = {name: number for number, name in enumerate(graph.ids)}
        self._made: dict[str, Any] = {}

    def tensors(self, device: "torch.device | str") -> "GraphTensors":
        """Return the graph as networks read it."""
        import torch

        from heedful.models.node_classifier import GraphTensors
        from heedful.nn.neighbours import Neighbours

        if str(device) not in self._made:
            graph = self.graph
            starts, columns, values, edges = (
                torch.tensor(array, device=device)
                for array in (graph.starts, graph.columns, graph.values, graph.edges)
            )
            self._made[str(device)] = GraphTensors(
                starts=starts[:-1],
                columns=columns,
                values=values,
                edges=edges,
                neighbours=Neighbours.of(edges, nodes=len(graph)),
            )
        return self._made[str(device)]


class Nodes:
    """Some nodes of a graph, made ready.

    Args:
        known: The graph.
        examples: The nodes.
        labels: Their numbers.

    Raises:
        DataError: A node is not in the graph.
    """

    def __init__(self, known: Known, examples: Sequence[Node], labels: Ints) -> None:
        for node in examples:
            if node.id not in known.numbers:
                raise DataError(
                    f"a node must be one of the {len(known.graph):,} of the graph, got "
                    f"{node.id!r:.80}"
                )
        self.known, self.labels = known, labels
        self.rows = np.array([known.numbers[node.id] for node in examples], np.int64)
        self.sizes: Ints = np.ones((len(examples), 1), np.int64)
        self.amounts: Ints = np.ones(len(examples), np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(
        self, rows: Sequence[int], device: "torch.device | str", *, random: Any = None
    ) -> "dict[str, Tensor | GraphTensors]":
        """Return these nodes and all of their graph."""
        import torch

        chosen = np.fromiter(rows, np.int64)
        return {
            "graph": self.known.tensors(device),
            "node": torch.from_numpy(self.rows[chosen]).to(device),
            "label": torch.from_numpy(self.labels[chosen]).to(device),
        }

    def fingerprint(self) -> list[int]:
        """Return checksums of the nodes, their labels, and of all that is in the graph."""
        graph = self.known.graph
        arrays = (self.rows, self.labels, graph.columns, graph.values, graph.edges)
        return checksums(*arrays)
