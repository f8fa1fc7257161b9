"""Scaled dot-product attention: the score is `query . key / sqrt(dim)`."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._check import check_qkv
from heedful.ops._softmax import masked_softmax, share_heads, widen

STORED_SCORES = 512 * 512  # per head, at which stored scores cost at most what torch's kernel does


def scaled_dot_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * query_i . key_j + bias_ij)`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        mask: Which query may see which key. `None` means: all.
        bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the bias or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
        Shared heads: Ainslie et al. 2023, arXiv:2305.13245.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    _check_bias(bias, query, key)
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    scores = (widen(query) * factor) @ share_heads(widen(key), query.shape[1]).mT
    scores = scores if bias is None else scores + bias
    return masked_softmax(scores, mask).to(query.dtype)


def scaled_dot_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `scaled_dot_weights`, with torch's fused kernel.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key. `None` means: all.
        bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.
        dropout: Share of the weights that is set to 0 at random, here and now: whoever calls
            passes 0 outside of training.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the bias or the mask do not fit together.
        ConfigError: A tensor is not floating-point, `dropout` is not in [0, 1), or a length of the
            mask exceeds `keys`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
        Shared heads: Ainslie et al. 2023, arXiv:2305.13245.

    Cost:
        Exact. Fused kernels store no scores; torch falls back to one that does for `dropout`, for
        a bias that needs a gradient, and on CPU for `value_dim != dim`.
    """
    check_qkv(query, key, value)
    _check_bias(bias, query, key)
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout}")
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    if _stored_is_faster(query, key, value):
        return _stored_attention(query, key, value, mask, bias, scale, dropout)
    visible = None
    # torch's switch aligns to the first key and accepts no further mask: only where all that is the
    # same thing may it stand in.
    causal = mask is not None and bias is None and mask.is_causal(queries, keys)
    if mask is not None and not causal:
        visible = mask.to_bool(queries, keys, batch=batch, heads=heads, device=query.device)
    added = visible if bias is None else bias.to(query.dtype)
    if bias is not None and visible is not None:
        added = bias.to(query.dtype).masked_fill(~visible, float("-inf"))
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=added,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=key.shape[1] != heads,
    )


def _stored_is_faster(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Say where two plain products beat torch's fused kernel.

    On CPU in half precision its backward pass takes 5 to 15 times as long as two products with
    stored scores, at the sizes of short texts (measured, torch 2.13: batch 204, 8 heads, 20 x 20,
    dim 16: 50 ms against 3 ms).
    """
    return (
        query.device.type == "cpu"
        and query.dtype in (torch.bfloat16, torch.float16)
        and torch.is_grad_enabled()
        and (query.requires_grad or key.requires_grad or value.requires_grad)
        and query.shape[2] * key.shape[2] <= STORED_SCORES
    )


def _stored_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask | None,
    bias: Tensor | None,
    scale: float | None,
    dropout: float,
) -> Tensor:
    """Two products in the dtype of `query`; only the softmax between them computes wider."""
    batch, heads, queries, dim = query.shape
    factor = 1 / math.sqrt(dim) if scale is None else scale
    scores = (query * factor) @ share_heads(key, heads).mT
    scores = scores if bias is None else scores + bias.to(scores.dtype)
    visible = None
    if mask is not None:
        keys, device = key.shape[2], query.device
        visible = mask.to_bool(queries, keys, batch=batch, heads=heads, device=device)
    if visible is None:
        weights = scores.softmax(-1)
    else:
        # the lowest number and not -inf, so that a row that sees nothing has no NaN in its gradient
        lowest = torch.finfo(scores.dtype).min
        hidden = scores.new_zeros(visible.shape).masked_fill_(~visible, lowest)
        weights = (scores + hidden).softmax(-1)
        if not visible.any(-1).all():
            weights = weights.masked_fill(~visible, 0.0)
    return torch.dropout(weights, dropout, train=dropout > 0) @ share_heads(value, heads)


def _check_bias(bias: Tensor | None, query: Tensor, key: Tensor) -> None:
    if bias is None:
        return
    if not bias.is_floating_point():
        raise ConfigError(f"bias must be floating-point (a boolean is a Mask), got {bias.dtype}")
    scores = (*query.shape[:3], key.shape[2])
    try:
        fits = torch.broadcast_shapes(bias.shape, scores) == scores
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"bias must broadcast to (batch, heads, queries, keys) = {scores}, "
            f"got {tuple(bias.shape)}"
        )
