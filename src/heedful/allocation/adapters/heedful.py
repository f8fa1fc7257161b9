"""heedful's own sites: `heedful.nn.Attention`, and the constant that is left of a dropped one."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.projections import Mixing, Projections, Rotary
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.constant import Constant
from heedful.nn.fusion.gated_recurrence import GatedRecurrence
from heedful.nn.fusion.local_convolution import LocalConvolution
from heedful.nn.low_precision import LowPrecisionLinear
from heedful.nn.mechanisms import MECHANISMS, Mechanism
from heedful.nn.positions import AlibiPositions, RelativePositions, RotaryPositions

# mechanisms without parameters, with the settings that make them anew; `scaled_dot` is none at all
PLAIN = {
    "block_sparse": ("block", "sinks", "near"),
    "paged_decoding": ("pages", "page", "sinks", "recent"),
    "scaled_dot": (),
    "selected_blocks": ("share", "block", "least"),
    "top_k": ("kept", "straight_through"),
    "window": ("window", "ahead", "sinks"),
}

LAYERS = (nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear, LowPrecisionLinear)

# those that need what modules of other libraries have not, and why these refuse them
CACHED = {"paged_decoding": "paged_decoding chooses by what only the cache of heedful keeps"}


@final
class HeedfulAdapter(Adapter):
    """Reads and writes `Attention` and what may stand in its place.

    Without heads it is a `Constant` or a `LocalConvolution`, with gates a `GatedRecurrence`.
    """

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, Attention | Constant | GatedRecurrence | LocalConvolution)

    def reason_against(self, module: nn.Module) -> str | None:
        if isinstance(module, Constant):
            return "it was dropped already"
        if isinstance(module, LocalConvolution):
            return "it became a convolution"
        if isinstance(module, GatedRecurrence):
            return None
        attention = cast(Attention, module)
        for name, part in vars(Attention).items():
            if callable(part) and name != "__init__" and getattr(type(module), name) is not part:
                return f"its class {type(module).__name__} has a {name} of its own"
        reason = why_uncuttable(module, ("query", "key", "value", "out"))
        if reason is not None:
            return reason
        if isinstance(attention.positions, AlibiPositions):
            return "its scores fall with the distance at slopes that belong to a number of heads"
        mechanism = attention.mechanism
        if mechanism is not None and mixing_of(mechanism) is None:
            return f"{type(mechanism).__name__} has parameters that belong to its heads"
        return None

    def read(self, module: nn.Module) -> Projections:
        if isinstance(module, Constant):
            return nothing(module.vector)
        if isinstance(module, LocalConvolution):
            mixing = Mixing(name="local_convolution", settings={"kernel": module.kernel})
            return nothing(module.out.bias).with_(mixing=mixing)
        if isinstance(module, GatedRecurrence):
            return _recurrent(module)
        attention = cast(Attention, module)
        rotary = None
        if isinstance(attention.positions, RotaryPositions):
            positions = attention.positions
            rotary = Rotary(pairs=positions.pairs, whole=positions.whole, base=positions.base)
        query, query_bias = split(attention.query, attention.dim)
        key, key_bias = split(attention.key, attention.dim)
        value, value_bias = split(attention.value, attention.value_dim)
        out = exact(attention.out.weight).T.unflatten(0, (-1, attention.value_dim))
        mechanism = attention.mechanism
        return Projections(
            query=query,
            key=key,
            value=value,
            out=out,
            query_bias=query_bias,
            key_bias=key_bias,
            value_bias=value_bias,
            out_bias=exact(attention.out.bias),
            scale=attention.dim**-0.5,
            origin=tuple(range(attention.heads)),
            rotary=rotary,
            mixing=None if mechanism is None else mixing_of(mechanism),
        )

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        looks = projections.query.shape[0] and projections.gate is None
        if projections.mixing is None or not looks:
            return None
        attention = cast(Attention, module)
        if isinstance(attention.positions, RelativePositions):
            return "its positions add to the scores, which no mechanism takes"
        if attention.dropout:
            return f"its dropout is {attention.dropout}, and no mechanism drops weights"
        return None

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        heads, dim, width = projections.query.shape
        attention = cast(Attention, module)
        like = attention.out.weight
        if not heads:
            return settled(_headless(projections), attention, like)
        if projections.gate is not None:
            return settled(_recurrence(projections), attention, like)
        kv_heads, value_dim, _ = projections.value.shape
        new = Attention(
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            dim=dim,
            value_dim=value_dim,
            dropout=attention.dropout,
            positions=_positions(attention, projections),
            mechanism=_mechanism(projections),
        )
        factor = projections.scale * dim**0.5  # the module divides by the root of its own dim
        join(new.query, projections.query * factor, _times(projections.query_bias, factor))
        join(new.key, projections.key, projections.key_bias)
        join(new.value, projections.value, projections.value_bias)
        new.out.weight.data = projections.out.flatten(0, 1).T.contiguous()
        fill_bias(new.out, projections.out_bias)
        return settled(new, attention, like)

    def looks_back(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        mask, x = kwargs.get("mask"), args[0]
        if not isinstance(mask, Mask) or len(args) > 1 or kwargs.get("context") is not None:
            return False
        before = 0 if kwargs.get("cache") is None else kwargs["cache"].length
        queries, keys = x.shape[1], before + x.shape[1]
        parts = mask.factors(queries, keys, batch=x.shape[0], heads=1, device=x.device)
        return parts is not None and parts.causal is not None

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        mask, x, cache = kwargs.get("mask"), args[0], kwargs.get("cache")
        context = args[1] if len(args) > 1 else kwargs.get("context")
        if not isinstance(mask, Mask) or cache is not None:
            return None, None
        keys = x.shape[1] if context is None else context.shape[1]
        parts = mask.factors(x.shape[1], keys, batch=len(x), heads=1, device=x.device)
        if parts is None or parts.keys is None:
            return None, None
        there = parts.keys.any(1)
        return there if context is None else None, there

    def hook_points(self, module: nn.Module) -> HookPoints:
        if isinstance(module, GatedRecurrence):
            return HookPoints(
                query=module.inner, context=module.inner, value=module.inner, out=module.out
            )
        attention = cast(Attention, module)
        return HookPoints(
            query=attention.query,
            context=attention.key,
            value=attention.value,
            out=attention.out,
        )


def mixing_of(mechanism: Mechanism) -> Mixing | None:
    """Return how to make a mechanism anew, or `None` where its parameters would be lost."""
    name = next((name for name, kind in MECHANISMS.items() if isinstance(mechanism, kind)), None)
    if name not in PLAIN:
        return None
    return Mixing(name=name, settings={key: getattr(mechanism, key) for key in PLAIN[name]})


def why_uncuttable(site: nn.Module, paths: Sequence[str]) -> str | None:
    """Say why no rows can be cut out of a layer of a site; `None` where they can."""
    for path in paths:
        kind = type(site.get_submodule(path))
        if kind not in LAYERS:
            return f"its {path} is a {kind.__name__}, which cannot be cut"
    return None


def exact(tensor: Tensor) -> Tensor:
    """Return a copy without a graph, in float32 at least."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32), copy=True)


def split(linear: nn.Linear, dim: int) -> tuple[Tensor, Tensor | None]:
    """Return the weight of a projection head by head, and its bias."""
    bias = cast(Tensor | None, linear.bias)  # torch says it is always there
    weight = exact(linear.weight).unflatten(0, (-1, dim))
    return weight, None if bias is None else exact(bias).unflatten(0, (-1, dim))


def join(linear: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Put a projection that is given head by head into a linear layer of its size."""
    linear.weight.data = weight.flatten(0, 1).contiguous()
    fill_bias(linear, None if bias is None else bias.flatten())


def fill_bias(linear: nn.Linear, bias: Tensor | None) -> None:
    """Set the bias; 0 where there is none."""
    linear.bias.data = torch.zeros_like(linear.bias) if bias is None else bias.contiguous()


def nothing(vector: Tensor) -> Projections:
    """Return the projections of a site without heads."""
    none = exact(vector).new_zeros(0, 1, len(vector))
    return Projections(
        query=none, key=none, value=none, out=none, out_bias=exact(vector), scale=1.0, origin=()
    )


def settled(new: nn.Module, old: nn.Module, like: Tensor) -> nn.Module:
    """Return the new module in the state of the old one: dtype, device, mode, gradients or not."""
    new.to(device=like.device, dtype=like.dtype).train(old.training)
    return new.requires_grad_(like.requires_grad)


def _recurrent(module: GatedRecurrence) -> Projections:
    """The projections of a recurrence: each component looks at nothing but its own past."""
    inner, bias = split(module.inner, module.dim)
    value, gate = inner.chunk(2)
    value_bias, gate_bias = (None, None) if bias is None else bias.chunk(2)
    none = value[:, :0]
    return Projections(
        query=none,
        key=none,
        value=value,
        out=exact(module.out.weight).T.unflatten(0, (-1, module.dim)),
        value_bias=value_bias,
        out_bias=exact(module.out.bias),
        gate=gate,
        gate_bias=gate_bias,
        scale=1.0,
        origin=tuple(range(module.heads)),
        mixing=Mixing(name="gated_recurrence"),
    )


def _recurrence(projections: Projections) -> nn.Module:
    geometry = projections.geometry
    new = GatedRecurrence(width=geometry.width, heads=geometry.heads, dim=geometry.value_dim)
    gate, gate_bias = cast(Tensor, projections.gate), projections.gate_bias
    bias = projections.value_bias
    biases = [torch.zeros_like(gate[..., 0]) if x is None else x for x in (bias, gate_bias)]
    join(new.inner, torch.cat([projections.value, gate]), torch.cat(biases))
    new.out.weight.data = projections.out.flatten(0, 1).T.contiguous()
    fill_bias(new.out, projections.out_bias)
    return new


def _headless(projections: Projections) -> nn.Module:
    width, bias = projections.query.shape[2], projections.out_bias
    if projections.mixing is not None:  # a convolution is all that mixes without heads
        convolution = LocalConvolution(width=width, **projections.mixing.settings)
        fill_bias(convolution.out, bias)
        return convolution
    constant = Constant(width)
    if bias is not None:
        constant.vector.data = bias
    return constant


def _positions(attention: Attention, projections: Projections) -> Any:
    if projections.rotary is not None:
        rotary = projections.rotary
        return RotaryPositions(
            2 * len(rotary.pairs), base=rotary.base, pairs=rotary.pairs, whole=rotary.whole
        )
    if isinstance(attention.positions, RelativePositions):
        old = attention.positions
        kept = torch.tensor(projections.origin, device=old.table.device)
        new = RelativePositions(len(kept), buckets=old.buckets, max_distance=old.starts[-1] + 1)
        new.starts = old.starts
        new.table.data = old.table.detach().index_select(1, kept)
        return new
    return None


def _mechanism(projections: Projections) -> Mechanism | None:
    if projections.mixing is None:
        return None
    heads, dim, _ = projections.query.shape
    settings = projections.mixing.settings
    return MECHANISMS[projections.mixing.name](heads=heads, dim=dim, **settings)


def _times(bias: Tensor | None, factor: float) -> Tensor | None:
    return None if bias is None else bias * factor
