"""Attention pooling: learned queries, which are one-hot vectors times a matrix of each head."""

from collections.abc import Mapping
from typing import Any, cast, final

from torch import Tensor, nn

from heedful.allocation.adapters.base import Adapter, HookPoints
from heedful.allocation.adapters.heedful import (
    exact,
    fill_bias,
    join,
    settled,
    split,
    why_uncuttable,
)
from heedful.allocation.projections import Projections
from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.nn.pooling import AttentionPooling


@final
class PoolingAdapter(Adapter):
    """Reads and writes `AttentionPooling`. What it becomes is always one again."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, AttentionPooling)

    def reason_against(self, module: nn.Module) -> str | None:
        for name, method in vars(AttentionPooling).items():
            if (
                callable(method)
                and name != "__init__"
                and getattr(type(module), name) is not method
            ):
                return f"its class {type(module).__name__} has a {name} of its own"
        mechanism = cast(AttentionPooling, module).mechanism
        if mechanism is not None:
            return f"its scores are those of {type(mechanism).__name__}, which belongs to its heads"
        return why_uncuttable(module, ("key", "value", "out"))

    def read(self, module: nn.Module) -> Projections:
        pooling = cast(AttentionPooling, module)
        key, key_bias = split(pooling.key, pooling.dim)
        value, value_bias = split(pooling.value, pooling.value_dim)
        return Projections(
            query=exact(pooling.query).mT,  # its width is the number of queries
            key=key,
            value=value,
            out=exact(pooling.out.weight).T.unflatten(0, (-1, pooling.value_dim)),
            key_bias=key_bias,
            value_bias=value_bias,
            out_bias=exact(pooling.out.bias),
            scale=pooling.dim**-0.5,
            origin=tuple(range(pooling.heads)),
            normed=pooling.squash,
        )

    def why_not(self, module: nn.Module, projections: Projections) -> str | None:
        heads = len(projections.query)
        if not heads:
            return "a pooling without heads would have nothing to give for its queries"
        if projections.mixing is not None:
            return "its queries are learned and stand at no position"
        if len(projections.key) != heads:
            return "each of its heads has keys and values of its own"
        return None

    def write(self, module: nn.Module, projections: Projections) -> nn.Module:
        heads, dim, queries = projections.query.shape
        pooling = cast(AttentionPooling, module)
        new = AttentionPooling(
            width=pooling.width,
            queries=queries,
            heads=heads,
            dim=dim,
            value_dim=projections.value.shape[1],
            squash=pooling.squash,
        )
        factor = projections.scale * dim**0.5  # the module divides by the root of its own dim
        new.query.data = (projections.query * factor).mT.contiguous()
        join(new.key, projections.key, projections.key_bias)
        join(new.value, projections.value, projections.value_bias)
        new.out.weight.data = projections.out.flatten(0, 1).T.contiguous()
        fill_bias(new.out, projections.out_bias)
        return settled(new, pooling, pooling.out.weight)

    def present(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Tensor | None, Tensor | None]:
        mask, x = kwargs.get("mask"), args[0]
        if not isinstance(mask, Mask):
            return None, None
        try:
            parts = mask.factors(1, x.shape[1], batch=len(x), heads=1, device=x.device)
        except ShapeError:  # each query or head sees keys of its own
            return None, None
        return None, None if parts is None or parts.keys is None else parts.keys.any(1)

    def hook_points(self, module: nn.Module) -> HookPoints:
        pooling = cast(AttentionPooling, module)
        # one vector goes into `out` for each query that looks, which is all that is counted there
        return HookPoints(
            query=pooling.out,
            context=pooling.key,
            value=pooling.value,
            out=pooling.out,
            learned=True,
        )
