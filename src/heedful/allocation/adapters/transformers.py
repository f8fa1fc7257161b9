"""Sites of Hugging Face transformers: their own forward, on smaller layers."""

import copy
import sys
from collections.abc import Mapping
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import (
    fill,
    joined,
    matrix,
    parameter,
    why_uncuttable,
)
from heedful.allocation.adapters._transformers_layouts import (
    Layout,
    core_in,
    layout_of,
)
from heedful.allocation.adapters._transformers_sites import BiasedHeads, Dropped, present
from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import CACHED, PLAIN, mixing_of, nothing, settled
from heedful.allocation.projections import Projections, Rotary
from heedful.kernels.transformers import ALLOCATED, NAME, register_allocated
from heedful.nn.mechanisms import MECHANISMS

# implementations with masks of truth values: mechanisms add nothing to scores
BOOLEAN = (ALLOCATED, NAME, "sdpa")
# mechanisms for which it matters at which position of the keys a query stands
PLACED = ("block_sparse", "selected_blocks", "window")


@final
class TransformersAdapter(Adapter):
    """Cuts the layers of attention modules, and sets the attributes that their forward reads.

    Where a mechanism of heedful mixes positions, weights are not dropped in training any more: no
    mechanism does that.
    """

    def claims(self, module: nn.Module) -> bool:
        if "transformers" not in sys.modules:
            return False
        return (
            _constant(module) is not None
            or isinstance(module, BiasedHeads)
            or layout_of(module) is not None
        )

    def reason_against(self, module: nn.Module) -> str | None:
        if _constant(module) is not None:
            return "it was dropped already"
        layout = layout_of(_own(module))
        if layout is None:
            return f"no layout says where {type(module).__name__} keeps its projections"
        for path in (*layout.makers, layout.out):
            reason = why_uncuttable(_own(module).get_submodule(path))
            if reason is not None:
                return f"its {path} is {reason}"
        return None

    def read(self, module: nn.Module) -> Projections:
        constant = _constant(module)
        if constant is not None:
            return nothing(constant)
        site, layout, core = _parts(module)
        dim = getattr(core, layout.dim)
        (query, query_bias), (key, key_bias), (value, value_bias) = (
            (weight.unflatten(0, (-1, dim)), None if bias is None else bias.unflatten(0, (-1, dim)))
            for weight, bias in _made(site, layout, core)
        )
        out, out_bias = matrix(site.get_submodule(layout.out))
        mechanism = getattr(core, "heedful_mechanism", None)
        return Projections(
            query=query,
            key=key,
            value=value,
            query_bias=query_bias,
            key_bias=key_bias,
            value_bias=value_bias,
            out=out.T.unflatten(0, (-1, dim)),
            out_bias=out_bias,
            scale=core.scaling,
            origin=tuple(range(out.shape[1] // dim)),
            rotary=_rotary(core, dim) if layout.rotary else None,
            normed=any("norm" in type(part).__name__.lower() for part in core.children()),
            mixing=None if mechanism is None else mixing_of(mechanism),
        )

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        geometry = projections.geometry
        if not geometry.heads:
            mixing = geometry.mixing
            return None if mixing is None else f"{mixing.name} cannot stand in its place"
        site, layout, core = _parts(module)
        if geometry.dim != geometry.value_dim:
            return "its forward knows one size of heads, for keys and for values"
        if layout.rotary and geometry.dim != getattr(core, layout.dim):
            return f"its rotary positions are made for heads of {getattr(core, layout.dim)}"
        eager = _implementation(core) == "eager"
        if geometry.kv_heads < geometry.heads and eager and not layout.grouped:
            return (
                "its eager attention has a key head for every query head; "
                "attn_implementation='sdpa' repeats them"
            )
        if geometry.mixing is None:
            kept = hasattr(core, "heedful_mechanism")
            return "its mechanism cannot be taken away again" if kept else None
        return _against_mixing(geometry.mixing.name, site, layout, core)

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        site, layout, core = _parts(module)
        if not projections.geometry.heads:
            return _dropped(module, projections)
        geometry = projections.geometry
        plain = not layout.biased or _plain(module, core, projections)
        given = {
            name: (getattr(projections, name), getattr(projections, f"{name}_bias"))
            for name in ("query", "key", "value")
        }
        for path, names in layout.makers.items():
            weights = [given[name][0].flatten(0, 1) for name in names]
            biases = [given[name][1] for name in names]
            if len(names) > 1:
                setattr(core, layout.parts, [len(weight) for weight in weights])
            fill(site.get_submodule(path), torch.cat(weights), joined(biases, weights))
        out = projections.out.flatten(0, 1).T
        fill(site.get_submodule(layout.out), out, projections.out_bias)
        sizes = dict.fromkeys(layout.heads, geometry.heads)
        sizes |= dict.fromkeys(layout.kv_heads, geometry.kv_heads)
        sizes |= dict.fromkeys(layout.widths, geometry.heads * geometry.dim)
        sizes |= {layout.dim: geometry.dim, "num_key_value_groups": projections.groups}
        for name, size in sizes.items():
            setattr(core, name, size)
        core.scaling = projections.scale
        _mix(layout, core, projections)
        return module if plain else _biased(module, core, projections)

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        return present(args, kwargs)

    def hook_points(self, module: nn.Module) -> HookPoints:
        site, layout, _ = _parts(module)
        return HookPoints(
            query=site.get_submodule(layout.query),
            context=site.get_submodule(layout.key),
            value=site.get_submodule(layout.value),
            out=site.get_submodule(layout.out),
        )


def _own(module: nn.Module) -> nn.Module:
    """The module that transformers made, whatever of ours stands around it."""
    return cast(nn.Module, module.inner) if isinstance(module, BiasedHeads) else module


def _parts(module: nn.Module) -> tuple[nn.Module, Layout, Any]:
    site = _own(module)
    layout = cast(Layout, layout_of(site))
    return site, layout, layout.core_of(site)


def _constant(module: nn.Module) -> Tensor | None:
    """What a dropped site gives; `None` where heads are left."""
    if isinstance(module, BiasedHeads):
        return module.vector
    core = module if isinstance(module, Dropped) else core_in(module)
    return core.vector if isinstance(core, Dropped) else None


def _made(site: nn.Module, layout: Layout, core: Any) -> list[tuple[Tensor, Tensor | None]]:
    """What makes queries, keys and values, taken apart where one layer makes several."""
    found: list[tuple[Tensor, Tensor | None]] = []
    for path, names in layout.makers.items():
        weight, bias = matrix(site.get_submodule(path))
        sizes = getattr(core, layout.parts) if len(names) > 1 else len(weight)
        biases = [None] * len(names) if bias is None else bias.split(sizes)
        found += zip(weight.split(sizes), biases, strict=True)
    return found


def _rotary(core: Any, dim: int) -> Rotary:
    settings = getattr(core.config, "rope_parameters", None) or {}
    return Rotary(
        pairs=tuple(range(dim // 2)), whole=dim, base=float(settings.get("rope_theta", 10_000.0))
    )


def _dropped(module: nn.Module, projections: Projections) -> nn.Module:
    site, layout, core = _parts(module)
    out = site.get_submodule(layout.out)
    vector = cast(Tensor, projections.out_bias)
    if layout.biased:
        constant = parameter(vector, cast(Tensor, out.weight))
        for path in (*layout.makers, layout.out):
            delattr(core, path)
        none = torch.zeros(0, dtype=torch.long, device=constant.device)
        return BiasedHeads(core, none, constant).train(module.training)
    after = site.get_submodule(layout.after) if layout.after else None
    new = Dropped(len(vector), getattr(core, "layer_idx", None), after)
    new.vector.data = vector
    settled(new, core, cast(Tensor, out.weight))
    if not layout.core:
        return new
    site.set_submodule(layout.core, new)
    site.set_submodule(layout.out, nn.Identity().train(out.training))
    return site


def _plain(module: nn.Module, core: Any, projections: Projections) -> bool:
    """Do all heads stay where they are, each with the key head that it has now?"""
    if isinstance(module, BiasedHeads):
        return False
    kv_heads = len(core.k.weight) // core.key_value_proj_dim
    return projections.origin == tuple(range(core.n_heads)) and len(projections.key) == kv_heads


def _biased(module: nn.Module, core: Any, projections: Projections) -> nn.Module:
    origin = torch.tensor(projections.origin, device=core.o.weight.device)
    if isinstance(module, BiasedHeads):
        module.heads = module.heads[origin]
        return module
    return BiasedHeads(core, origin).train(module.training)


def _implementation(core: Any) -> str:
    return cast(str, core.config._attn_implementation)


def _against_mixing(name: str, site: nn.Module, layout: Layout, core: Any) -> str | None:
    if name not in PLAIN:
        return f"{name} has parameters, and its forward has no place for them"
    if name in CACHED:
        return CACHED[name]
    if layout.biased:
        return "its positions add to the scores, which no mechanism takes"
    if _implementation(core) not in BOOLEAN:
        return (
            f"its masks are made for {_implementation(core)!r}; "
            "attn_implementation='sdpa' makes masks that say which keys are hidden"
        )
    crossing = getattr(core, "is_decoder", False) and not core.is_causal
    crossing = crossing or getattr(site, "is_cross_attention", False)
    if crossing and name in PLACED:
        return f"{name} needs queries and keys of one text"
    if getattr(core.config, "sliding_window", None) is not None:
        return "it has a window already, behind which its cache forgets"
    return None


def _mix(layout: Layout, core: Any, projections: Projections) -> None:
    """Let the module, and no other, ask for the attention that its mechanism gives."""
    mixing = projections.mixing
    if mixing is None:
        return
    heads, dim, _ = projections.query.shape
    register_allocated()
    core.heedful_mechanism = MECHANISMS[mixing.name](heads=heads, dim=dim, **mixing.settings)
    core.heedful_mechanism.train(core.training)
    core.config = copy.copy(core.config)  # the model's own decides about masks
    core.config._attn_implementation_internal = ALLOCATED
    dropout = getattr(core, layout.dropout)
    if isinstance(dropout, nn.Dropout):
        dropout.p = 0.0
    else:
        setattr(core, layout.dropout, 0.0)
