"""Sigmoid attention: every key is weighed for itself, and the weights need not sum to one."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._dot import count_visible, hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, widen


def sigmoid_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    bias: float | Float[Tensor, " heads"] | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `sigmoid(scale * query_i . key_j + bias)`, each for itself.

    The sum of the weights is anything up to the number of keys. Unlike in the paper, whose bias is
    `-log(n)` for one `n`, the length of the text, the default counts the keys that this query sees:
    with scores of 0 the weights of every query then sum to about one, also under a mask.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        bias: Added to the scores: one number, or one per head. `None` means `-log(n)`, where `n` is
            the number of keys that the query sees.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights between 0 and 1; exactly 0 for hidden keys.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Ramapuram et al. 2024, arXiv:2409.04431.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    scores = scaled_scores(query, key, scale)
    visible = visible_keys(scores, mask)
    if isinstance(bias, Tensor):
        check_axes("bias", bias, heads=query.shape[1])
        added = widen(bias)[:, None, None]
    else:
        added = -count_visible(scores, visible).log() if bias is None else bias
    return torch.sigmoid(hide(scores + added, visible)).to(query.dtype)


@hidden_kept_out
def sigmoid_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    bias: float | Float[Tensor, " heads"] | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `sigmoid_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        bias: Added to the scores: one number, or one per head. `None` means `-log(n)`, where `n` is
            the number of keys that the query sees.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Ramapuram et al. 2024, arXiv:2409.04431.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key, value)
    weights = sigmoid_weights(widen(query), key, bias=bias, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)
