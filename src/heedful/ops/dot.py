"""Dot-product attention: the score is `query . key`."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def dot_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(query_i . key_j)`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    scores = widen(query) @ share_heads(widen(key), query.shape[1]).mT
    return masked_softmax(scores, mask).to(query.dtype)


@hidden_kept_out
def dot_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `dot_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key, value)
    return aggregate(dot_weights(widen(query), key, mask=mask), value, query.dtype)
