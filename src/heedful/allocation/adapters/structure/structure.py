"""What was found of an attention module: which rows of which layers each head is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import (
    fill,
    is_transposed,
    joined,
    matrix,
    parameter,
)
from heedful.allocation.adapters._transformers_sites import Beside
from heedful.allocation.adapters.heedful import exact
from heedful.allocation.adapters.structure.calls import Arguments
from heedful.allocation.adapters.structure.norms import behind
from heedful.allocation.adapters.structure.scratch import forget
from heedful.allocation.projections import Geometry, Projections, Rotary


@dataclass(frozen=True, eq=False)
class Part:
    """Where the heads of one kind stand in a layer.

    Args:
        path: Of the layer.
        rows: Their rows, `(heads, size)`, in the order of the components; of an output projection,
            its columns.
    """

    path: str
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Companion:
    """A parameter or buffer that has something for each query head besides.

    Args:
        path: Of it.
        axis: Along which heads stand.
        rows: Where along it, `(heads, size)`.
    """

    path: str
    axis: int
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Bias:
    """A parameter or buffer that is added to what a layer gives, besides a bias of its own.

    Args:
        path: Of it.
        layer: Path of the layer.
        rows: The row of the layer that each number is added to, in order.
    """

    path: str
    layer: str
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Structure:
    """How one attention module is built. All paths are below the site.

    Args:
        core: The module with the forward that asks for attention.
        query: Rows of each query head.
        key: Rows of each key/value head.
        value: Rows of each key/value head.
        out: Columns of each query head.
        gates: Rows of the same layers that weigh what a query head gives.
        companions: What else belongs to query heads.
        biases: Biases that stand outside of their layers.
        around: Layers that never run: the module multiplies by their weights.
        scale: Of the scores.
        rotary: Which components positions turn, where they turn all of them in pairs.
        fixed: Is the basis of queries and keys fixed by what stands behind their projections?
        activated: Does a function stand between what heads mix and the output projection?
        norms: Paths of batch norms that are part of these layers, by the paths of the layers.
        arguments: With which the module runs alone.
        beside: What its core gives behind its output, in a tuple or a list, all of it `None` here;
            `None` where it gives the output alone.
        masked: By what name it takes a mask; empty where it takes none.
    """

    core: str
    query: Part
    key: Part
    value: Part
    out: Part
    scale: float
    arguments: Arguments
    beside: Beside | None = None
    masked: str = ""
    gates: tuple[Part, ...] = ()
    companions: tuple[Companion, ...] = ()
    biases: tuple[Bias, ...] = ()
    around: tuple[str, ...] = ()
    rotary: Rotary | None = None
    fixed: bool = False
    activated: bool = False
    norms: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def parts(self) -> dict[str, Part]:
        """What is made of rows, by its name."""
        return {"query": self.query, "key": self.key, "value": self.value}

    @property
    def layers(self) -> list[str]:
        """The layers that make queries, keys and values."""
        return list(dict.fromkeys(part.path for part in self.parts.values()))


def read(site: nn.Module, found: Structure) -> Projections:
    """Return what a site computes."""
    numbers: dict[str, Any] = {}
    for name, part in found.parts.items():
        weight, bias = _matrix(site, found, part.path)
        rows = part.rows.to(weight.device)
        numbers[name] = weight[rows]
        numbers[f"{name}_bias"] = None if bias is None else bias[rows]
    out, out_bias = _matrix(site, found, found.out.path)
    return Projections(
        **numbers,
        out=out.T[found.out.rows.to(out.device)],
        out_bias=out_bias,
        scale=found.scale,
        origin=tuple(range(len(found.query.rows))),
        rotary=found.rotary,
        normed=found.fixed,
        activated=found.activated,
    )


def _matrix(site: nn.Module, found: Structure, path: str) -> tuple[Tensor, Tensor | None]:
    """The weight of a layer and all that is added to what it gives."""
    weight, bias = matrix(site.get_submodule(path))
    if path in found.norms:
        norm = site.get_submodule(found.norms[path])
        if not isinstance(norm, nn.Identity):  # in a scratch copy it is in the layer already
            weight, bias = behind(norm, weight, bias)
    for each in found.biases:
        if each.layer == path:
            bias = weight.new_zeros(len(weight)) if bias is None else bias.clone()
            bias[each.rows.to(bias.device)] += exact(_named(site, each.path))
    return weight, bias


def _named(site: nn.Module, path: str) -> Tensor:
    holder, _, name = path.rpartition(".")
    return cast(Tensor, getattr(site.get_submodule(holder), name))


def slots_of(old: Geometry, new: Geometry) -> tuple[list[int], list[int]] | None:
    """Return in whose places the heads of a smaller geometry stand, and its key/value heads.

    Query heads that shared a key/value head do so in their places as well, so that a module with
    its heads all there and these alone counted computes the same; `None` where that cannot be.
    """
    group, wanted = old.heads // old.kv_heads, new.heads // new.kv_heads
    wide = -(-wanted // group)  # key/value heads that have to give the same
    if new.heads % new.kv_heads or new.kv_heads * wide > old.kv_heads:
        return None
    heads = [kv * wide * group + i for kv in range(new.kv_heads) for i in range(wanted)]
    return heads, [kv * wide for kv in range(new.kv_heads)]


def fill_layers(site: nn.Module, found: Structure, new: Projections) -> None:
    """Give the layers of a site the numbers of other projections, in the order that they have."""
    old = geometry_of(site, found)
    heads, kv_heads = cast(tuple[list[int], list[int]], slots_of(old, new.geometry))
    origin = list(new.origin)
    cells: dict[str, list[_Cell]] = {}
    for name, part in found.parts.items():
        weight, bias = getattr(new, name), getattr(new, f"{name}_bias")
        rows = part.rows[heads if name == "query" else kv_heads][:, : weight.shape[1]]
        cells.setdefault(part.path, []).append(_Cell(rows, weight, bias))
    for part in found.gates:
        weight, bias = _matrix(site, found, part.path)
        rows = part.rows[origin].to(weight.device)
        kept = None if bias is None else bias[rows]
        cells.setdefault(part.path, []).append(_Cell(part.rows[heads], weight[rows], kept))
    for path, pieces in cells.items():
        weights = [cell.weight.flatten(0, 1) for cell in pieces]
        bias = joined([cell.bias for cell in pieces], weights)
        stood, order = torch.cat([cell.rows.flatten() for cell in pieces]).sort()
        order = order.to(weights[0].device)
        bias = _outside(site, found, path, stood, None if bias is None else bias[order])
        fill(site.get_submodule(path), torch.cat(weights)[order], bias)
    columns = found.out.rows[heads][:, : new.out.shape[1]]
    order = columns.flatten().argsort().to(new.out.device)
    fill(site.get_submodule(found.out.path), new.out.flatten(0, 1)[order].T, new.out_bias)
    for companion in found.companions:
        _cut(site, companion, origin)
    forget(site)


class _Cell(NamedTuple):
    """Rows of a layer: where they stood, and what shall stand there."""

    rows: Tensor
    weight: Tensor
    bias: Tensor | None


def geometry_of(site: nn.Module, found: Structure) -> Geometry:
    """Return the numbers of a site, without a look at its weights."""

    def shape(path: str) -> tuple[int, int]:
        layer = site.get_submodule(path)
        outs, ins = cast(Tensor, layer.weight).shape[:2]
        return (ins, outs) if is_transposed(layer) else (outs, ins)

    return Geometry(
        width=shape(found.query.path)[1],
        context=shape(found.value.path)[1],
        out=shape(found.out.path)[0],
        heads=len(found.query.rows),
        kv_heads=len(found.value.rows),
        dim=found.query.rows.shape[1],
        value_dim=found.value.rows.shape[1],
    )


def _outside(
    site: nn.Module, found: Structure, path: str, stood: Tensor, bias: Tensor | None
) -> Tensor | None:
    """Give biases outside of a layer their numbers; return what is left for the layer's own."""
    stands = [each for each in found.biases if each.layer == path]
    if not stands:
        return bias
    if bias is None:
        bias = torch.zeros(len(stood))
    for each in stands:
        its = torch.isin(stood, each.rows).to(bias.device)
        _put(site, each.path, bias[its])
        bias = bias.masked_fill(its, 0.0)
    return bias if bias.any() else None


def _put(site: nn.Module, path: str, new: Tensor) -> None:
    """Put other numbers in the place of a parameter or a buffer."""
    holder_path, _, name = path.rpartition(".")
    old = _named(site, path)
    new = new.to(device=old.device, dtype=old.dtype)
    value = parameter(new, old) if isinstance(old, nn.Parameter) else new
    setattr(site.get_submodule(holder_path), name, value)


def _cut(site: nn.Module, companion: Companion, origin: list[int]) -> None:
    old, rows = _named(site, companion.path), companion.rows[origin].flatten()
    _put(site, companion.path, old.detach().index_select(companion.axis, rows.to(old.device)))
