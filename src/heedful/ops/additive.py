"""Additive attention: the score is `v . tanh(query + key)`."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def additive_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(v . tanh(query_i + key_j))`.

    The paper's projections and bias are the caller's: `query` and `key` are already projected.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.

    Cost:
        Stores `queries x keys x dim` numbers per head: `dim` times what dot products store. Exact.
    """
    check_qkv(query, key)
    heads = query.shape[1]
    check_axes("score_weight", score_weight, heads=heads, dim=query.shape[3])
    pairs = widen(query)[:, :, :, None] + share_heads(widen(key), heads)[:, :, None]
    scores = (torch.tanh(pairs) * widen(score_weight)[:, None, None]).sum(-1)
    return masked_softmax(scores, mask).to(query.dtype)


@hidden_kept_out
def additive_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    score_weight: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `additive_weights`.

    Args:
        query: What is looked for, projected.
        key: What is looked at, projected; `kv_heads` divides `heads`.
        value: What is returned.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.

    Cost:
        Stores `queries x keys x dim` numbers per head: `dim` times what dot products store. Exact.
    """
    check_qkv(query, key, value)
    weights = additive_weights(widen(query), key, score_weight=score_weight, mask=mask)
    return aggregate(weights, value, query.dtype)
