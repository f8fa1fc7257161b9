"""Top-k attention: only the largest scores of a query count."""

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops._dot import drop, hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import aggregate, widen


def top_k_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    kept: int,
    straight_through: bool = False,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by softmax over the `kept` largest visible scores; the others get 0.

    Among equal scores the key with the lower index is chosen. With at least as many `kept` as
    visible keys it is plain softmax.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        kept: How many keys a query keeps. At least 1.
        straight_through: Pass gradients back to the scores as if all keys had been kept, so that
            keys which were left out can learn to come in? The output stays the same.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the kept keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `kept < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Zhao et al. 2019, arXiv:1912.11637.

    Cost:
        Stores `queries x keys` scores per head and selects in each row of them: it is not faster
        than softmax over all keys. Exact.
    """
    check_qkv(query, key)
    if kept < 1:
        raise ConfigError(f"kept must be at least 1, got {kept}")
    scores = scaled_scores(query, key, scale)
    visible = visible_keys(scores, mask)
    scores = hide(scores, visible)
    if kept >= key.shape[2]:
        return drop(scores.softmax(-1), visible).to(query.dtype)
    chosen = _largest(scores, kept)
    chosen = chosen if visible is None else chosen & visible
    weights = drop(hide(scores, chosen).softmax(-1), chosen)
    if straight_through:
        every = drop(scores.softmax(-1), visible)
        weights = weights.detach() + (every - every.detach())
    return weights.to(query.dtype)


@hidden_kept_out
def top_k_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    kept: int,
    straight_through: bool = False,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `top_k_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        kept: How many keys a query keeps. At least 1.
        straight_through: Pass gradients back to the scores as if all keys had been kept, so that
            keys which were left out can learn to come in? The output stays the same.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `kept < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Zhao et al. 2019, arXiv:1912.11637.

    Cost:
        Stores `queries x keys` scores per head and selects in each row of them: it is not faster
        than softmax over all keys. Exact.
    """
    check_qkv(query, key, value)
    weights = top_k_weights(
        widen(query), key, kept=kept, straight_through=straight_through, mask=mask, scale=scale
    )
    return aggregate(weights, value, query.dtype)


def _largest(scores: Tensor, kept: int) -> Tensor:
    """Which scores are the `kept` largest of their row; among equal ones the first are."""
    scores = scores.detach()
    least = scores.topk(kept, dim=-1).values[..., -1:]
    above, equal = scores > least, scores == least
    places = kept - above.sum(-1, keepdim=True)
    return above | (equal & (equal.cumsum(-1) <= places))
