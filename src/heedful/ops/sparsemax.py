"""Sparsemax attention: the scores projected onto the weights that sum to one."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import aggregate, widen
from heedful.ops.entmax import entmax_weights


def sparsemax_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by sparsemax: the nearest weights to the scores, most of them exactly 0.

    `p_j = relu(s_j - tau)` with `s_j = scale * query_i . key_j` and the `tau` for which they sum to
    one. It is alpha-entmax for `alpha = 2`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Martins and Astudillo 2016, arXiv:1602.02068, algorithm 1.

    Cost:
        Stores `queries x keys` scores per head and sorts each row of them. Exact; any derivative is
        right, and the backward pass reads only the weights.
    """
    return entmax_weights(query, key, alpha=2.0, mask=mask, scale=scale)


@hidden_kept_out
def sparsemax_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `sparsemax_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Martins and Astudillo 2016, arXiv:1602.02068, algorithm 1.

    Cost:
        Stores `queries x keys` scores per head and sorts each row of them. Exact; any derivative is
        right, and the backward pass reads only the weights.
    """
    check_qkv(query, key, value)
    weights = sparsemax_weights(widen(query), key, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)
