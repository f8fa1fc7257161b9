"""Cosine attention: the score is the angle between query and key, whatever their lengths."""

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen

SMALLEST = 1e-12  # a vector with no component beyond this has no direction


def cosine_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    scale: Float[Tensor, " heads"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * cos(query_i, key_j))`.

    `scale` is used as it is given, any real number; whoever learns it keeps it within bounds, as
    `heedful.nn.mechanisms.cosine` does. A query or key with no component beyond 1e-12 has no
    direction: its cosine is 0 and it gets gradient 0, instead of the huge one of a length close to
    none.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        scale: Factor of the cosine, one per query head; `1 / tau` of Swin V2, `g` of QKNorm.
        mask: Which query may see which key. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Liu et al. 2021, arXiv:2111.09883, section 3.2 (one factor per head).
        Henry et al. 2020, arXiv:2010.04245 (one factor for all).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    heads = query.shape[1]
    check_axes("scale", scale, heads=heads)
    directions = share_heads(_direction(widen(key)), heads)
    scores = (_direction(widen(query)) * widen(scale)[:, None, None]) @ directions.mT
    return masked_softmax(scores, mask).to(query.dtype)


@hidden_kept_out
def cosine_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    scale: Float[Tensor, " heads"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `cosine_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        scale: Factor of the cosine, one per query head; `1 / tau` of Swin V2, `g` of QKNorm.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Liu et al. 2021, arXiv:2111.09883, section 3.2 (one factor per head).
        Henry et al. 2020, arXiv:2010.04245 (one factor for all).

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key, value)
    weights = cosine_weights(widen(query), key, scale=scale, mask=mask)
    return aggregate(weights, value, query.dtype)


def _direction(
    vector: Float[Tensor, "batch heads length dim"],
) -> Float[Tensor, "batch heads length dim"]:
    """Scale to length 1, and what has no direction to 0."""
    # Divided by its largest component first, no square overflows or vanishes. That the divisor is
    # a constant here does not change the gradient: the direction is the same for every divisor.
    largest = vector.detach().abs().amax(-1, keepdim=True)
    none = largest <= SMALLEST
    even = vector / largest.masked_fill(none, 1.0)
    squares = even.square().sum(-1, keepdim=True).masked_fill(none, 1.0)
    return (even * squares.rsqrt()).masked_fill(none, 0.0)
