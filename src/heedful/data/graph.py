"""Graphs: nodes with features and labels, and edges; read from two tables, or made of blocks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from heedful.data.columns import number_in, read_columns, read_header
from heedful.data.examples import check_label
from heedful.data.ragged import Ints
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_bytes

LARGEST = 1 << 32  # bytes of a saved graph
Normalise = Literal["rows", "columns", "none"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """Who sees whom, and what is known of each node.

    Args:
        ids: Of the nodes, in the order of their numbers.
        width: Features of a node.
        starts: Where the features of each node begin in the two below, and where those end.
        columns: Numbers of the features that are not 0.
        values: What these are.
        edges: `(edges, 2)`: a node, and another one that it sees. Each once, none of a node and
            itself, in order.
    """

    ids: tuple[str, ...]
    width: int
    starts: Ints
    columns: Ints
    values: NDArray[np.float32]
    edges: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def of(
        ids: Sequence[str], features: NDArray[np.floating], edges: NDArray[np.integer]
    ) -> "Graph":
        """Return a graph whose nodes see their neighbours and are seen by them.

        Args:
            ids: Of the nodes.
            features: `(nodes, features)`.
            edges: `(edges, 2)` numbers of nodes, in any order, also twice.
        """
        rows, columns = np.nonzero(features)
        both = np.concatenate([edges, edges[:, ::-1]]).astype(np.int64).reshape(-1, 2)
        return Graph(
            ids=tuple(ids),
            width=features.shape[1],
            starts=np.searchsorted(rows, np.arange(len(ids) + 1)),
            columns=columns,
            values=features[rows, columns].astype(np.float32),
            edges=np.unique(both[both[:, 0] != both[:, 1]], axis=0),
        )

    def normalised(self, by: Normalise) -> "Graph":
        """Return the same graph with other features.

        Args:
            by: `rows`: those of a node sum to one, whatever their signs. `columns`: each has the
                mean 0 and the deviation 1 over all nodes. `none`: as they are.
        """
        if by == "none":
            return self
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        if by == "rows":
            sums = np.bincount(rows, np.abs(self.values), minlength=len(self))
            return replace(self, values=(self.values / sums[rows]).astype(np.float32))
        features = np.zeros((len(self), self.width))
        features[rows, self.columns] = self.values
        deviation = features.std(0)
        features = (features - features.mean(0)) / np.where(deviation > 0, deviation, 1)
        return replace(Graph.of(self.ids, features, self.edges), edges=self.edges)

    def degrees(self) -> Ints:
        """Return how many others each node sees."""
        return np.bincount(self.edges[:, 0], minlength=len(self))

    def save(self, path: Path, names: Path) -> None:
        """Write numbers and ids into two files, each whole or not at all."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        write_bytes(path, save({**arrays, "width": np.array([self.width])}))
        write_bytes(names, "".join(f"{each}\n" for each in self.ids).encode())

    @staticmethod
    def load(path: Path, names: Path) -> "Graph":
        """Read what `save` wrote.

        Raises:
            RunError: A file is missing or damaged.
        """
        try:
            arrays = load(read_whole(path, most=LARGEST))
            ids = tuple(read_whole(names, most=LARGEST).decode().split("\n")[:-1])
            width = int(arrays.pop("width")[0])
            graph = Graph(ids=ids, width=width, **arrays)  # type: ignore[arg-type]
        except (KeyError, IndexError, TypeError, ValueError, SafetensorError) as error:
            raise RunError(f"{path} must be a whole graph, got: {error}") from None
        _check(graph, path)
        return graph


ARRAYS = [field.name for field in fields(Graph) if field.name not in ("ids", "width")]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a graph that is known, and its label, which is empty where nobody knows it."""

    id: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A graph, and what is known about labels.

    Args:
        graph: Of all nodes.
        labels: Of each; empty where nobody knows it.
        splits: `train`, `dev` or `test` for each node; empty where it is in none.
        lines: Where each stands in its file.
    """

    graph: Graph
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    lines: tuple[int, ...]


def _check(graph: Graph, path: Path) -> None:
    """Refuse numbers that do not belong together.

    Raises:
        RunError: They do not.
    """
    nodes, found = len(graph), len(graph.values)
    integers = (graph.starts, graph.columns, graph.edges)
    good = (
        all(each.dtype == np.int64 for each in integers)
        and graph.values.dtype == np.float32
        and (graph.starts.shape, graph.columns.shape) == ((nodes + 1,), (found,))
        and graph.edges.shape[1:] == (2,)
        and len(set(graph.ids)) == nodes > 0
        and (graph.starts[0], graph.starts[-1]) == (0, found)
        and bool((np.diff(graph.starts) >= 0).all())
        and _within(graph.columns, graph.width)
        and _within(graph.edges, nodes)
        and bool(np.isfinite(graph.values).all())
    )
    if not good:
        raise RunError(f"{path} must be a whole graph, got numbers that do not fit together")


def _within(numbers: Ints, size: int) -> bool:
    return not numbers.size or (numbers.min() >= 0 and numbers.max() < size)


# ---- reading ------------------------------------------------------------------------------------


def read_graph(
    nodes: Path | str,
    edges: Path | str,
    *,
    name: str = "id",
    label: str = "label",
    split: str = "",
    ends: tuple[str, str] = ("from", "to"),
) -> Labelled:
    """Read nodes from one table and edges from another.

    All other columns of the table of nodes are features. Edges have no direction; one that is there
    twice, or from a node to itself, changes nothing.

    Args:
        nodes: A TSV file or, where it is called so, CSV; `.gz` is unpacked.
        edges: Another one.
        name: The column of ids.
        label: The column of its label, which may be blank.
        split: A column with `train`, `dev`, `test` or a blank. Empty: there is none.
        ends: The two columns of an edge, with ids.

    Raises:
        DataError: A file or a column is missing, an id is there twice or has several lines, a
            feature is no number, or an edge ends at no node. No row is ever skipped.
    """
    header = read_header(nodes)
    chosen = [name, label, *([split] if split else [])]
    features = [name for name in header if name not in chosen]
    strange = next((name for name in features if name.isdecimal()), None)
    if strange is not None or not features:
        got = "none" if strange is None else repr(strange)
        raise DataError(f"{nodes}:1 must have columns of features with names, got {got}")
    known: dict[str, int] = {}
    rows: list[tuple[str, str, int]] = []
    numbers: list[list[float]] = []
    # a blank label is not known; a blank feature is refused below, as no number
    may_be_blank = [label, *([split] if split else []), *features]
    for line, found in read_columns(nodes, [*chosen, *features], blank=may_be_blank):
        own, *said = (text.strip() for text in found[: len(chosen)])
        if own in known:
            raise DataError(f"{nodes}:{line} must have an id of its own, got {own!r:.80} again")
        known[own] = len(known)
        if "\n" in own:
            raise DataError(f"{nodes}:{line} must have an id of one line, got {own!r:.80}")
        part = said[1] if split else ""
        if part not in ("", "train", "dev", "test"):
            raise DataError(f"{nodes}:{line} must be of train, dev or test, got {part!r:.80}")
        rows.append((said[0], part, line))
        values = zip(features, found[len(chosen) :], strict=True)
        numbers.append([number_in(nodes, line, *pair) for pair in values])
    labels, splits, lines = zip(*rows, strict=True)
    pairs = np.array(list(_ends(edges, ends, known, nodes)), np.int64)
    graph = Graph.of(tuple(known), np.array(numbers), pairs)
    return Labelled(graph=graph, labels=labels, splits=splits, lines=lines)


def _ends(
    path: Path | str, columns: tuple[str, str], known: Mapping[str, int], nodes: Path | str
) -> Iterator[tuple[int, int]]:
    for line, found in read_columns(path, columns):
        pair = [text.strip() for text in found]
        for column, name in zip(columns, pair, strict=True):
            if name not in known:
                raise DataError(
                    f"{path}:{line} must have a node of {nodes} in column {column!r}, "
                    f"got {name!r:.80}"
                )
        yield known[pair[0]], known[pair[1]]


# ---- splits --------------------------------------------------------------------------------------


def drawn_splits(labels: Sequence[str], *, train: float, dev: float, seed: int) -> tuple[str, ...]:
    """Draw the split of every node with a label; the shares of labels are about the same in each.

    Args:
        labels: Of each node; empty where nobody knows it.
        train: Share of the first split, of those of each label; one at least.
        dev: Share of the second one; the rest is the third.
        seed: Decides which.
    """
    draw = np.random.default_rng(seed)
    found = [""] * len(labels)
    for label in sorted(set(labels) - {""}):
        rows = draw.permutation([row for row, each in enumerate(labels) if each == label])
        first = max(1, round(train * len(rows)))
        second = first + round(dev * len(rows))
        for place, row in enumerate(rows.tolist()):
            found[row] = "train" if place < first else "dev" if place < second else "test"
    return tuple(found)


def check_known(nodes: str, found: Labelled, splits: Collection[str]) -> None:
    """Refuse a held-out node whose label no node of the training split has.

    Raises:
        DataError: There is one, or a node of a split has no label.
    """
    known = {label for label, split in zip(found.labels, splits, strict=True) if split == "train"}
    for label, split, line in zip(found.labels, splits, found.lines, strict=True):
        if split and not label:
            raise DataError(f"{nodes}:{line} must have a label to be of {split}, got none")
        if split:
            check_label(f"{nodes}:{line}", label, known)
