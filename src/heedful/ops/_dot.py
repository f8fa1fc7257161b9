"""What mechanisms start from that differ only in how dot products become weights."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._softmax import share_heads, widen


def scaled_scores(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    scale: float | None,
) -> Float[Tensor, "batch heads queries keys"]:
    """`scale * query . key`, in float32 at least; the scale is `1 / sqrt(dim)` unless given."""
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    return widen((widen(query) * factor) @ share_heads(widen(key), query.shape[1]).mT)


def visible_keys(
    scores: Float[Tensor, "batch heads queries keys"], mask: Mask | None
) -> Bool[Tensor, "#batch #heads #queries #keys"] | None:
    """Lower the mask to the shape of the scores; `None` when every query sees every key."""
    if mask is None:
        return None
    batch, heads, queries, keys = scores.shape
    return mask.to_bool(queries, keys, batch=batch, heads=heads, device=scores.device)


def hide(
    scores: Float[Tensor, "batch heads queries keys"],
    visible: Bool[Tensor, "#batch #heads #queries #keys"] | None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Give hidden keys the lowest number: not -inf, so that empty rows are finite."""
    if visible is None:
        return scores
    return scores.masked_fill(~visible, torch.finfo(scores.dtype).min)


def drop(
    weights: Float[Tensor, "batch heads queries keys"],
    visible: Bool[Tensor, "#batch #heads #queries #keys"] | None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Give hidden keys the weight 0, whatever the row has made of their score."""
    return weights if visible is None else weights.masked_fill(~visible, 0.0)


def count_visible(
    scores: Float[Tensor, "batch heads queries keys"],
    visible: Bool[Tensor, "#batch #heads #queries #keys"] | None,
) -> Float[Tensor, "#batch #heads #queries 1"]:
    """How many keys each query sees, and 1 where it sees none, so that the logarithm is finite."""
    keys = scores.shape[3]
    if visible is None:
        return scores.new_full((1, 1, 1, 1), max(keys, 1))
    shared = visible.expand(*visible.shape[:3], keys)
    return shared.sum(-1, keepdim=True).clamp_min(1).to(scores.dtype)
