"""Concat attention: the score is `v . tanh(W [query; key])`, a small network on every pair."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def concat_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys key_dim"],
    *,
    query_weight: Float[Tensor, "heads hidden dim"],
    key_weight: Float[Tensor, "heads hidden key_dim"],
    score_weight: Float[Tensor, "heads hidden"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(v . tanh(W [query_i; key_j]))`.

    `W` comes as its two halves, `W = [query_weight, key_weight]`: then `W [query; key]` is the sum
    of two projections, each done once, and no pair is ever written side by side. The paper has one
    head; here each has its own `W` and `v`. With these two projections on the outside it is
    `additive_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        query_weight: The columns of `W` that meet the query, one matrix per query head.
        key_weight: The columns of `W` that meet the key, one matrix per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (concat).

    Cost:
        Stores `queries x keys x hidden` numbers per head, and projects the keys once per query
        head. Exact.
    """
    check_qkv(query, key, same_dim=False)
    heads, hidden = query.shape[1], score_weight.shape[-1]
    check_axes("score_weight", score_weight, heads=heads, hidden=hidden)
    check_axes("query_weight", query_weight, heads=heads, hidden=hidden, dim=query.shape[3])
    check_axes("key_weight", key_weight, heads=heads, hidden=hidden, key_dim=key.shape[3])
    looked_for = widen(query) @ widen(query_weight).mT
    looked_at = share_heads(widen(key), heads) @ widen(key_weight).mT
    pairs = looked_for[:, :, :, None] + looked_at[:, :, None]
    scores = (torch.tanh(pairs) * widen(score_weight)[:, None, None]).sum(-1)
    return masked_softmax(scores, mask).to(query.dtype)


@hidden_kept_out
def concat_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys key_dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    query_weight: Float[Tensor, "heads hidden dim"],
    key_weight: Float[Tensor, "heads hidden key_dim"],
    score_weight: Float[Tensor, "heads hidden"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `concat_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        query_weight: The columns of `W` that meet the query, one matrix per query head.
        key_weight: The columns of `W` that meet the key, one matrix per query head.
        score_weight: `v`, one vector per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (concat).

    Cost:
        Stores `queries x keys x hidden` numbers per head, and projects the keys once per query
        head. Exact.
    """
    check_qkv(query, key, value, same_dim=False)
    weights = concat_weights(
        widen(query),
        key,
        query_weight=query_weight,
        key_weight=key_weight,
        score_weight=score_weight,
        mask=mask,
    )
    return aggregate(weights, value, query.dtype)
