"""PyTorch's own attention."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.testing import oracle
from heedful.testing.adapters._lower import lower
from heedful.testing.claim import Claim


def claim_scaled_dot() -> Claim:
    """`scaled_dot_product_attention` with every mask as a boolean `attn_mask`."""
    return Claim(attention=_scaled_dot, oracle=oracle.scaled_dot, inferred=True)


def _scaled_dot(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None, dropout_p: float = 0.0
) -> Tensor:
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=lower(mask, query, key, "attend"),
        dropout_p=dropout_p,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def claim_scaled_dot_causal() -> Claim:
    """The same with its switch `is_causal`, as whoever decodes with a cache would set it."""
    return Claim(attention=_switched, oracle=oracle.scaled_dot, masks=("causal",), inferred=True)


def _switched(query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None) -> Tensor:
    if mask != Mask.causal():
        raise UnsupportedError(f"the mask must be causal, got {mask}")
    grouped = key.shape[1] != query.shape[1]
    return scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)


def claim_multihead() -> Claim:
    """`nn.MultiheadAttention` with projections that change nothing, and True = hide."""
    modules: dict[tuple[int, int, torch.dtype], nn.MultiheadAttention] = {}

    def call(
        query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, *, need_weights: bool
    ) -> tuple[Tensor, Tensor]:
        heads, width = query.shape[1], query.shape[1] * query.shape[3]
        sizes = (width, heads, query.dtype)
        if sizes not in modules:  # kept, because a graph cannot hold the making of parameters
            modules[sizes] = _plain_multihead(*sizes)
        hidden = lower(mask, query, key, "hide")
        if hidden is not None:
            size = (len(query), heads, query.shape[2], key.shape[2])
            hidden = hidden.expand(size).flatten(0, 1)
        joined = (x.transpose(1, 2).flatten(2) for x in (query, key, value))
        return modules[sizes](
            *joined, attn_mask=hidden, need_weights=need_weights, average_attn_weights=False
        )

    def attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None) -> Tensor:
        output, _ = call(query, key, value, mask, need_weights=False)
        return output.unflatten(-1, (query.shape[1], -1)).transpose(1, 2)

    def weights(query: Tensor, key: Tensor, *, mask: Mask | None) -> Tensor:
        return call(query, key, key, mask, need_weights=True)[1]

    return Claim(
        attention=attention,
        weights=weights,
        oracle=oracle.scaled_dot,
        grouped=False,
        same_dims=True,
        inferred=True,
    )


@torch.no_grad()
def _plain_multihead(width: int, heads: int, dtype: torch.dtype) -> nn.MultiheadAttention:
    module = nn.MultiheadAttention(width, heads, bias=False, batch_first=True, dtype=dtype)
    module.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
    module.out_proj.weight.copy_(torch.eye(width))
    return module


def claim_flex() -> Claim:
    """`flex_attention`, not compiled, with masks as its `BlockMask`."""
    return Claim(attention=_flex, oracle=oracle.scaled_dot, inferred=True)


def _flex(query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    batch, heads, queries, _ = query.shape
    blocks: Any = None
    if mask is not None:
        blocks = mask.to_block_mask(
            queries, key.shape[2], batch=batch, heads=heads, device=query.device
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is slow when not compiled
        return flex_attention(  # pyright: ignore[reportReturnType]
            query, key, value, block_mask=blocks, enable_gqa=key.shape[1] != heads
        )
