"""Attention with some weights taken out: what is lost when one place cannot see another?"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.probing.adapter import Arrange, Recording, unchanged
from heedful.probing.call import CaptureOptions, ProbedCall
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.row_blocks import row_blocks
from heedful.probing.sites import ADAPTERS, choose_sites, find_sites
from heedful.probing.tiles import upcast

BLOCK = 128  # rows of a map at a time


class Edge(NamedTuple):
    """One weight of a map.

    Args:
        site: Name of the module.
        call: Which of its calls, counted from 0.
        batch: Row of the batch.
        head: Number of the head.
        row: Query row.
        key: Key.
    """

    site: str
    call: int
    batch: int
    head: int
    row: int
    key: int


@contextmanager
def cut(model: nn.Module, edges: Iterable[Edge]) -> Generator[None]:
    """Set weights of attention to 0 while a model runs; the other weights stay what they are.

    What a weight adds to the output of its site is computed as `probe` computes maps, and taken
    off; kernels run as always, but for the fused layers of torch, which are left alone meanwhile.

    Args:
        model: Is as before, afterwards.
        edges: Which weights.

    Raises:
        ConfigError: A site is none of the model's, or has no such call, head, row or key.
        UnsupportedError: What a site does with its mixed values is not linear, or hides them.

    Cost:
        The map of every site of an edge, 128 rows at a time. No gradients flow meanwhile.
    """
    wanted: dict[tuple[str, int], list[Edge]] = {}
    for edge in edges:
        wanted.setdefault((edge.site, edge.call), []).append(edge)
    found, unknown = find_sites(model)
    names = sorted({site for site, _ in wanted})
    chosen = choose_sites(model, found, [name.replace("[", "[[]") for name in names], unknown)
    cutting = _Cutting(names, wanted)
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)  # nothing can be taken off inside of it
        for adapter in ADAPTERS:
            ours = {site.module: site.name for site in chosen if site.adapter is adapter}
            adapter.attach(model, ours, cutting, stack)
        with torch.no_grad():
            yield
    cutting.close()
    for (site, call), lost in wanted.items():
        if (site, call) not in cutting.met:
            made = cutting.count(site)
            raise ConfigError(f"call of {site} must be below {made}, got {lost[0].call}")


class _Cutting(Recording):
    """Takes what edges add off the outputs of sites, and keeps nothing.

    Args:
        names: The sites.
        wanted: The edges of each call.
    """

    def __init__(self, names: list[str], wanted: Mapping[tuple[str, int], list[Edge]]) -> None:
        super().__init__(names, CaptureOptions())
        self._wanted = wanted
        self.met: set[tuple[str, int]] = set()

    def record(
        self,
        name: str,
        keep: Callable[[], ProbedCall],
        output: Tensor,
        arrange: Arrange = unchanged,
    ) -> None:
        place = name, self.count(name)
        self._passed[name] = 1 + self._passed.get(name, 0)
        if place in self._wanted:
            self.met.add(place)
            with torch.no_grad():
                _take_off(keep(), self._wanted[place], arrange(output), output)


def _take_off(call: ProbedCall, edges: Sequence[Edge], there: Tensor, output: Tensor) -> None:
    """Take what edges add off the output of a call, in place."""
    if there.untyped_storage().data_ptr() != output.untyped_storage().data_ptr():
        raise UnsupportedError(f"{edges[0].site} must go on with what it mixed, got a copy of it")
    if not (call.finish is None or call.linear):
        raise UnsupportedError(
            f"what follows attention at {edges[0].site} must be linear for a weight to be cut, "
            f"got {call.compared}"
        )
    _check(call, edges)
    weights = _weights(call, edges)
    values = upcast(call.value)
    returned = isinstance(call.weights, ReturnedWeights)
    dim = call.weights.keys if returned else values.shape[3]
    lost = values.new_zeros(call.shape[0], call.shape[1], call.queries, dim)
    for edge, weight in zip(edges, weights, strict=True):
        if returned:
            lost[edge.batch, edge.head, edge.row, edge.key] += weight
        else:
            kv_head = call.weights.kv_heads[edge.head]
            lost[edge.batch, edge.head, edge.row] += weight * values[edge.batch, kv_head, edge.key]
    if call.finish is not None:
        rows = range(call.queries)
        lost = call.finish(lost, rows) - call.finish(torch.zeros_like(lost), rows)
    there.sub_(lost.to(there.dtype))


def _weights(call: ProbedCall, edges: Sequence[Edge]) -> list[Tensor]:
    found: dict[Edge, Tensor] = {}
    for block in row_blocks(call, BLOCK):
        first, last = int(block.rows[0]), int(block.rows[-1])
        for edge in edges:
            if first <= edge.row <= last:
                found[edge] = block.weights[edge.batch, edge.head, edge.row - first, edge.key]
    return [found[edge] for edge in edges]


def _check(call: ProbedCall, edges: Sequence[Edge]) -> None:
    sizes = dict(zip(("batch", "head", "row", "key"), call.shape, strict=True))
    for edge in edges:
        for name, size in sizes.items():
            number = getattr(edge, name)
            if not 0 <= number < size:
                raise ConfigError(f"{name} must be in 0 to {size - 1} at {edge.site}, got {number}")
