"""Talking-heads attention: heads mix their scores before the softmax and their weights after it."""

from jaxtyping import Float
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.ops._dot import drop, hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, widen


def talking_heads_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    score_mix: Float[Tensor, "heads heads"],
    weight_mix: Float[Tensor, "heads heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Mix across heads: `sum_g weight_mix_hg softmax_j(sum_f score_mix_gf scale query_f . key_f)`.

    Row `h` of a mix says what head `h` takes from the others; with two identities it is
    `scaled_dot_weights`. The paper lets the three numbers of heads differ; here they are one.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        score_mix: How scores are mixed before the softmax, `P_l` transposed.
        weight_mix: How weights are mixed after it, `P_w` transposed.
        mask: Which query may see which key, the same for all heads. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that may be negative and sum to whatever the rows of `weight_mix` do; hidden keys
        have exactly 0.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask has an entry for each head: what one head may not see, another
            would tell it.

    Source:
        Shazeer et al. 2020, arXiv:2003.02436.

    Cost:
        Stores `queries x keys` numbers per head four times over, and multiplies each by `heads`
        numbers twice. Exact.
    """
    check_qkv(query, key)
    heads = query.shape[1]
    check_axes("score_mix", score_mix, heads=heads, mixed=heads)
    check_axes("weight_mix", weight_mix, heads=heads, mixed=heads)
    scores = scaled_scores(query, key, scale)
    visible = visible_keys(scores, mask)
    if visible is not None and visible.shape[1] != 1:
        raise UnsupportedError(
            "mask must be the same for all heads because they mix what they see, "
            f"got one with an entry for each of {visible.shape[1]} heads"
        )
    mixed = hide(_mix(widen(score_mix), scores), visible)
    alone = drop(mixed.softmax(-1), visible)
    return _mix(widen(weight_mix), alone).to(query.dtype)


@hidden_kept_out
def talking_heads_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    score_mix: Float[Tensor, "heads heads"],
    weight_mix: Float[Tensor, "heads heads"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `talking_heads_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        score_mix: How scores are mixed before the softmax, `P_l` transposed.
        weight_mix: How weights are mixed after it, `P_w` transposed.
        mask: Which query may see which key, the same for all heads. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask has an entry for each head: what one head may not see, another
            would tell it.

    Source:
        Shazeer et al. 2020, arXiv:2003.02436.

    Cost:
        Stores `queries x keys` numbers per head four times over, and multiplies each by `heads`
        numbers twice. Exact.
    """
    check_qkv(query, key, value)
    weights = talking_heads_weights(
        widen(query), key, score_mix=score_mix, weight_mix=weight_mix, mask=mask, scale=scale
    )
    return aggregate(weights, value, query.dtype)


def _mix(
    mix: Float[Tensor, "heads heads"], maps: Float[Tensor, "batch heads queries keys"]
) -> Float[Tensor, "batch heads queries keys"]:
    """Give every head a sum over the maps of all heads."""
    return (mix @ maps.flatten(2)).unflatten(2, maps.shape[2:])
