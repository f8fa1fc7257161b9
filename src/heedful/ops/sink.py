"""Attention with a sink: a query may give part of its weight to no key at all."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._dot import hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, widen


def sink_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    sink: Float[Tensor, " heads"] | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `exp(s_j) / (exp(sink) + sum exp(s))`.

    `s_j = scale * query_i . key_j`. The sink is one more score without a value, whose share of the
    weight is lost: a head that finds nothing can return almost 0. A sink of 0 is "softmax off by
    one".

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        sink: The score of the sink, one per head, which may be learned. `None` means 0.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to less than one; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Miller 2023, "Attention Is Off By One" (sink 0). Xiao et al. 2023, arXiv:2309.17453.
        OpenAI 2025, gpt-oss (one learned sink per head).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    scores = scaled_scores(query, key, scale)
    if sink is None:
        sink = scores.new_zeros(query.shape[1])
    check_axes("sink", sink, heads=query.shape[1])
    visible = visible_keys(scores, mask)
    scores = hide(scores, visible)
    # exp(l) / (exp(sink) + exp(l)), where exp(l) is the sum over the keys, without an overflow; 0
    # where nothing is visible, so that nothing is left to hide
    kept = torch.sigmoid(scores.logsumexp(-1, keepdim=True) - widen(sink)[:, None, None])
    return (scores.softmax(-1) * kept).to(query.dtype)


@hidden_kept_out
def sink_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    sink: Float[Tensor, " heads"] | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `sink_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        sink: The score of the sink, one per head, which may be learned. `None` means 0.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Miller 2023, "Attention Is Off By One" (sink 0). Xiao et al. 2023, arXiv:2309.17453.
        OpenAI 2025, gpt-oss (one learned sink per head).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key, value)
    weights = sink_weights(widen(query), key, sink=sink, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)
