"""Differential attention: a second map of weights is taken off the first, as noise is."""

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops._dot import scaled_scores
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, widen


def differential_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    subtracted: Float[Tensor, " heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale q1_i . k1_j) - lambda softmax_j(scale q2_i . k2_j)`.

    The first half of a head's `dim` is `q1` and `k1`, the second half `q2` and `k2`; values are not
    halved. The paper's norm after the sum belongs to `heedful.nn.mechanisms.differential`.

    Args:
        query: What is looked for, twice.
        key: What is looked at, twice; `kv_heads` divides `heads`.
        subtracted: `lambda`, how much of the second map is taken off, one number per query head.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of both dot products. `None` means `1 / sqrt(dim / 2)`, the size of a half.

    Returns:
        Weights that may be negative and sum to `1 - lambda` over the visible keys, or zeros where
        nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or `dim` is odd.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Ye et al. 2024, arXiv:2410.05258, section 2.1.

    Cost:
        Stores `queries x keys` scores per head twice, and multiplies as often as one dot product of
        `dim`. Exact.
    """
    check_qkv(query, key)
    check_axes("subtracted", subtracted, heads=query.shape[1])
    if query.shape[3] % 2:
        raise ShapeError(f"dim must be even because it is halved, got {query.shape[3]}")
    (query1, query2), (key1, key2) = query.chunk(2, -1), key.chunk(2, -1)
    first = masked_softmax(scaled_scores(query1, key1, scale), mask)
    second = masked_softmax(scaled_scores(query2, key2, scale), mask)
    return (first - widen(subtracted)[:, None, None] * second).to(query.dtype)


@hidden_kept_out
def differential_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    subtracted: Float[Tensor, " heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `differential_weights`.

    Args:
        query: What is looked for, twice.
        key: What is looked at, twice; `kv_heads` divides `heads`.
        value: What is returned.
        subtracted: `lambda`, how much of the second map is taken off, one number per query head.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of both dot products. `None` means `1 / sqrt(dim / 2)`, the size of a half.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or `dim` is odd.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Ye et al. 2024, arXiv:2410.05258, section 2.1.

    Cost:
        Stores `queries x keys` scores per head twice, and multiplies as often as one dot product of
        `dim`. Exact.
    """
    check_qkv(query, key, value)
    weights = differential_weights(widen(query), key, subtracted=subtracted, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)
