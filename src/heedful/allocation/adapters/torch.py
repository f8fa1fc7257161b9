"""Sites of torch: `nn.MultiheadAttention`, also in its Transformer layers."""

from collections.abc import Mapping
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import (
    CACHED,
    PLAIN,
    exact,
    fill_bias,
    join,
    nothing,
    split,
    why_uncuttable,
)
from heedful.allocation.multihead import SeparableMultihead
from heedful.allocation.projections import Projections
from heedful.allocation.separable import Separable
from heedful.nn.constant import Constant


@final
class TorchAdapter(Adapter):
    """Reads `nn.MultiheadAttention`, and writes what is called like it."""

    def claims(self, module: nn.Module) -> bool:
        if isinstance(module, SeparableMultihead):
            return True
        ours = isinstance(module, nn.MultiheadAttention)
        return ours and type(module).forward is nn.MultiheadAttention.forward

    def reason_against(self, module: nn.Module) -> str | None:
        if isinstance(module, SeparableMultihead):
            return reason_against_core(module.core)
        attention = cast(nn.MultiheadAttention, module)
        if attention.bias_k is not None or attention.add_zero_attn:
            return "it adds keys of its own, which belong to its heads"
        if attention.kdim != attention.vdim:
            return f"its keys are {attention.kdim} wide and its values {attention.vdim}"
        return why_uncuttable(module, ("out_proj",))

    def read(self, module: nn.Module) -> Projections:
        if isinstance(module, SeparableMultihead):
            core = module.core
            return nothing(core.vector) if isinstance(core, Constant) else read_core(core)
        attention = cast(nn.MultiheadAttention, module)
        dim = attention.head_dim
        if cast(Tensor | None, attention.in_proj_weight) is not None:  # torch says it always is
            weights = attention.in_proj_weight.chunk(3)
        else:
            weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        query, key, value = (exact(cast(Tensor, x)).unflatten(0, (-1, dim)) for x in weights)
        bias, biases = cast(Tensor | None, attention.in_proj_bias), [None] * 3
        if bias is not None:
            biases = [exact(x).unflatten(0, (-1, dim)) for x in bias.chunk(3)]
        out_bias = cast(Tensor | None, attention.out_proj.bias)
        return Projections(
            query=query,
            key=key,
            value=value,
            out=exact(attention.out_proj.weight).T.unflatten(0, (-1, dim)),
            query_bias=biases[0],
            key_bias=biases[1],
            value_bias=biases[2],
            out_bias=None if out_bias is None else exact(out_bias),
            scale=dim**-0.5,
            origin=tuple(range(attention.num_heads)),
        )

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        attention = cast(nn.MultiheadAttention, module)
        return refuses_mixing(projections, attention.dropout)

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        query, key, padding = (
            args[place] if len(args) > place else kwargs.get(name)
            for place, name in ((0, "query"), (1, "key"), (3, "key_padding_mask"))
        )
        if padding is None:
            return None, None
        keys = ~padding if padding.dtype == torch.bool else ~padding.isneginf()
        keys = keys if keys.ndim == 2 else keys[None]
        return keys if key is query else None, keys

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        attention = cast(nn.MultiheadAttention | SeparableMultihead, module)
        origin, original_heads = projections.origin, attention.num_heads
        if isinstance(attention, SeparableMultihead):
            origin = tuple(attention.origin[head] for head in origin)
            original_heads = attention.original_heads
        like = cast(Tensor, attention.out_proj.weight)
        new = SeparableMultihead(
            write_core(projections, attention.dropout),
            width=attention.embed_dim,
            batch_first=attention.batch_first,
            origin=origin,
            original_heads=original_heads,
        )
        new.to(device=like.device, dtype=like.dtype).train(attention.training)
        return new.requires_grad_(like.requires_grad)

    def hook_points(self, module: nn.Module) -> HookPoints:
        return hook_points_of(cast(Separable, cast(SeparableMultihead, module).core))


def read_core(core: Separable) -> Projections:
    """Return what separate projections compute."""
    geometry, out_bias = core.geometry, cast(Tensor | None, core.out.bias)
    query, query_bias = split(core.query, geometry.dim)
    key, key_bias = split(core.key, geometry.dim)
    value, value_bias = split(core.value, geometry.value_dim)
    return Projections(
        query=query,
        key=key,
        value=value,
        out=exact(core.out.weight).T.unflatten(0, (-1, geometry.value_dim)),
        query_bias=query_bias,
        key_bias=key_bias,
        value_bias=value_bias,
        out_bias=None if out_bias is None else exact(out_bias),
        scale=geometry.dim**-0.5,
        origin=tuple(range(geometry.heads)),
        mixing=geometry.mixing,
    )


def write_core(projections: Projections, dropout: float) -> Separable | Constant:
    """Return separate projections that compute this, or a constant where no heads are left."""
    geometry = projections.geometry
    if not geometry.heads:
        constant = Constant(geometry.out)
        if projections.out_bias is not None:
            constant.vector.data = projections.out_bias
        return constant
    biases = (projections.query_bias, projections.key_bias, projections.value_bias)
    core = Separable(
        geometry,
        biased=any(bias is not None for bias in biases),
        out_biased=projections.out_bias is not None,
        dropout=dropout,
    )
    factor = projections.scale * geometry.dim**0.5  # the ops divide by the root of their own dim
    query_bias = None if biases[0] is None else biases[0] * factor
    weights = (projections.query * factor, projections.key, projections.value)
    linears = (core.query, core.key, core.value)
    for linear, weight, bias in zip(linears, weights, (query_bias, *biases[1:]), strict=True):
        _join(linear, weight, bias)
    core.out.weight.data = projections.out.flatten(0, 1).T.contiguous()
    if projections.out_bias is not None:
        fill_bias(core.out, projections.out_bias)
    return core


def reason_against_core(core: Separable | Constant) -> str | None:
    """Return why what was written once cannot be changed again; `None` means it can."""
    if isinstance(core, Constant):
        return "it was dropped already"
    mixing = core.geometry.mixing
    if mixing is not None and mixing.name not in PLAIN:
        return f"{type(core.mechanism).__name__} has parameters that belong to its heads"
    return None


def refuses_mixing(projections: Projections, dropout: float) -> str | None:
    """Return why positions cannot be mixed in this way here; `None` means they can."""
    if projections.mixing is None:
        return None
    if not projections.geometry.heads:
        return "nothing but heads can mix positions there"
    if projections.mixing.name in CACHED:
        return CACHED[projections.mixing.name]
    return f"its dropout is {dropout}, and no mechanism drops weights" if dropout else None


def hook_points_of(core: Separable) -> HookPoints:
    """Return where to listen."""
    return HookPoints(query=core.query, context=core.key, value=core.value, out=core.out)


def _join(linear: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    if cast(Tensor | None, linear.bias) is None:
        linear.weight.data = weight.flatten(0, 1).contiguous()
    else:
        join(linear, weight, bias)
