"""Sites of transformers, timm and torchvision that no table describes: found by running them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, cast, final

from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import why_uncuttable
from heedful.allocation.adapters._transformers_sites import Dropped, present
from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import nothing
from heedful.allocation.adapters.structure.dropping import CLOSED, check_dropped, drop
from heedful.allocation.adapters.structure.find import NO_OUTPUT, find
from heedful.allocation.adapters.structure.known import kept, signature_of
from heedful.allocation.adapters.structure.listening import heard
from heedful.allocation.adapters.structure.norms import fold
from heedful.allocation.adapters.structure.outside import cut_masks
from heedful.allocation.adapters.structure.reads import put
from heedful.allocation.adapters.structure.sizes import Sizes, sizes_for
from heedful.allocation.adapters.structure.structure import (
    Structure,
    fill_layers,
    geometry_of,
    read,
)
from heedful.allocation.adapters.structure.widths import functions_of
from heedful.allocation.projections import Geometry, Projections
from heedful.errors import UnsupportedError
from heedful.probing.transformers import TransformersAttention, names_used
from heedful.probing.unsupported import why_unsupported

LIBRARIES = {"transformers", "timm", "torchvision"}
MODELS = ("transformers.models.", "timm.", "torchvision.models.")  # where their modules stand
WRITTEN = {"softmax", "scaled_dot_product_attention"}  # what such a module calls


@final
class StructuralAdapter(Adapter):
    """Finds which rows of which layers each head is made of, and which attributes count heads.

    A module is called alone, as a copy with random numbers; gradients tell its heads apart. A
    smaller one counts only where it computes what the full one does with the other heads silenced.
    """

    def claims(self, module: nn.Module) -> bool:
        if LIBRARIES.isdisjoint(sys.modules):
            return False
        if CLOSED in vars(module) or _asks(module):
            return True
        if _writes_out(module):  # what is not found stays with those who list what nobody knows
            return _why_not_found(module) is None
        inner = [child for child in module.children() if _asks(child) or _writes_out(child)]
        if len(inner) != 1 or _why_not_found(inner[0]) != NO_OUTPUT:
            return False
        return _why_not_found(module) is None

    def reason_against(self, module: nn.Module) -> str | None:
        if CLOSED in vars(module):
            return "it was dropped already"
        reason = _why_not_found(module)
        if reason is not None:
            return reason
        found = _found(module)
        for path in (*found.layers, found.out.path):
            reason = _why_uncuttable(module.get_submodule(path))
            if reason is not None:
                return f"its {path} is {reason}"
        whole = geometry_of(module, found)
        shared = max(1, whole.kv_heads // 2)
        fewer = replace(whole, heads=shared * (whole.heads // whole.kv_heads), kv_heads=shared)
        if whole.kv_heads == 1:
            fewer = replace(whole, heads=max(1, whole.heads // 2))
        return None if fewer == whole else self._why_no_sizes(module, fewer)

    def read(self, module: nn.Module) -> Projections:
        if CLOSED in vars(module) or isinstance(module, Dropped):  # a part of it, or all of it
            core = next(x for x in module.modules() if isinstance(x, Dropped))
            return nothing(core.vector)
        return read(module, _found(module))

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        geometry = projections.geometry
        if geometry.mixing is not None:
            return f"nobody knows if its forward leaves room for {geometry.mixing.name}"
        if geometry.heads:
            return self._why_no_sizes(module, geometry)
        found, key = _found(module), signature_of(module)
        return _reason(lambda: kept(lambda: check_dropped(module, found), "drop", key))

    def _why_no_sizes(self, module: nn.Module, geometry: Geometry) -> str | None:
        return _reason(lambda: _sizes(module, geometry))

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        found = _found(module)
        fold(module, dict(found.norms))
        if not projections.geometry.heads:
            vector = cast(Tensor, projections.out_bias)
            return drop(module, found, vector)
        sizes = _sizes(module, projections.geometry)
        cut_masks(module, len(found.query.rows), list(projections.origin))
        fill_layers(module, found, projections)
        put(module, sizes)
        return module

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        return present(args, kwargs)

    def hook_points(self, module: nn.Module) -> HookPoints:
        found = _found(module)
        parts = heard(module, found)
        return HookPoints(
            query=parts[found.query.path],
            context=parts[found.key.path],
            value=parts[found.value.path],
            out=parts[found.out.path],
        )


def _why_uncuttable(layer: nn.Module) -> str | None:
    """Say why a layer cannot be cut; those of models themselves can, since trials have shown it."""
    ours = isinstance(layer, nn.Linear) and type(layer).__module__.startswith(MODELS)
    return None if ours else why_uncuttable(layer)


def _asks(module: nn.Module) -> bool:
    """Does a module ask for attention through the interface of transformers?"""
    return TransformersAttention().claims(module)


def _writes_out(module: nn.Module) -> bool:
    """Is a module attention of these libraries that computes its weights itself?"""
    if not type(module).__module__.startswith(MODELS) or _asks(module):
        return False
    kind = type(module)
    called = (function.__code__.co_names for function in functions_of(kind).values())
    named = any(not WRITTEN.isdisjoint(names) for names in chain(names_used(kind), called))
    return named and why_unsupported(module) is not None


def _found(module: nn.Module) -> Structure:
    return kept(lambda: find(module), "find", signature_of(module))


def _why_not_found(module: nn.Module) -> str | None:
    return _reason(lambda: _found(module))


def _reason(ask: Callable[[], object]) -> str | None:
    """Return why something raises, or `None`."""
    try:
        ask()
    except UnsupportedError as error:
        return str(error)
    return None


def _sizes(module: nn.Module, new: Geometry) -> Sizes:
    found = _found(module)
    config = getattr(module.get_submodule(found.core), "config", None)
    own = getattr(config, "_attn_implementation", "eager")
    own = own if own in ("eager", "sdpa") else "sdpa"
    old = geometry_of(module, found)
    alike = old.heads * new.kv_heads == new.heads * old.kv_heads
    attentions = ("eager", "sdpa") if alike else (own,)
    return kept(
        lambda: sizes_for(module, found, new, attentions),
        ("sizes", attentions, new.heads, new.kv_heads, new.dim, new.value_dim),
        signature_of(module),
    )
