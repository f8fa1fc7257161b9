"""Scalable-softmax attention: scores grow with the logarithm of the number of keys."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._dot import count_visible, drop, hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, widen


def scalable_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    strength: Float[Tensor, " heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(strength * log(n) * scale * query_i . key_j)`.

    `n` is the number of keys that this query sees, so that weights stay as sharp in a long text as
    in a short one. A query that sees one key gives it the weight 1, as always: `log(1) = 0`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        strength: `s`, one per head, which may be learned.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Nakanishi 2025, arXiv:2501.19399. Without the paper's optional bias.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    check_axes("strength", strength, heads=query.shape[1])
    scores = scaled_scores(query, key, scale)
    visible = visible_keys(scores, mask)
    sharper = widen(strength)[:, None, None] * count_visible(scores, visible).log()
    scores = hide(hide(scores, visible) * sharper, visible)
    return drop(scores.softmax(-1), visible).to(query.dtype)


@hidden_kept_out
def scalable_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    strength: Float[Tensor, " heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `scalable_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        strength: `s`, one per head, which may be learned.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Nakanishi 2025, arXiv:2501.19399. Without the paper's optional bias.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key, value)
    weights = scalable_weights(widen(query), key, strength=strength, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)
