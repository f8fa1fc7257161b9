"""General attention: the score is `query . W key`, so that the two may have different dims."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def general_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys key_dim"],
    *,
    weight: Float[Tensor, "heads dim key_dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(query_i . W key_j)`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        weight: `W`, one matrix per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (general).

    Cost:
        Stores `queries x keys` scores per head, and projects the queries, not the keys. Exact.
    """
    check_qkv(query, key, same_dim=False)
    heads = query.shape[1]
    check_axes("weight", weight, heads=heads, dim=query.shape[3], key_dim=key.shape[3])
    scores = widen(query) @ widen(weight) @ share_heads(widen(key), heads).mT
    return masked_softmax(scores, mask).to(query.dtype)


@hidden_kept_out
def general_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys key_dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    weight: Float[Tensor, "heads dim key_dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `general_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        weight: `W`, one matrix per query head.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (general).

    Cost:
        Stores `queries x keys` scores per head, and projects the queries, not the keys. Exact.
    """
    check_qkv(query, key, value, same_dim=False)
    weights = general_weights(widen(query), key, weight=weight, mask=mask)
    return aggregate(weights, value, query.dtype)
