"""Transformer-XL attention: content and distance each have a score, and a bias of their own."""

import math

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def transformer_xl_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    position: Float[Tensor, "heads distances dim"],
    content_bias: Float[Tensor, "heads dim"],
    position_bias: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * ((query_i + u) . key_j + (query_i + v) . r(p - j)))`.

    Query `i` stands at position `p = i + keys - queries`. Distances run from `keys - 1`, the first
    key seen from the last query, down to `1 - queries`, the last key seen from the first one: there
    are `keys + queries - 1` of them, also where a mask hides those below 0.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        position: `r`, the projected embedding of each distance, from the largest to the smallest.
        content_bias: `u`, added to the query where it meets a key.
        position_bias: `v`, added to the query where it meets a distance.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the score. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Dai et al. 2019, arXiv:1901.02860, section 3.3; the shift: appendix B.

    Cost:
        Stores `queries x (keys + queries)` and `queries x keys` scores a head, and nothing of size
        `queries x keys x dim`: the scores of all distances are computed once and shifted, row by
        row, to the keys at these distances. Exact.
    """
    check_qkv(query, key)
    heads, queries, dim = query.shape[1:]
    keys = key.shape[2]
    check_axes("position", position, heads=heads, distances=max(keys + queries - 1, 0), dim=dim)
    check_axes("content_bias", content_bias, heads=heads, dim=dim)
    check_axes("position_bias", position_bias, heads=heads, dim=dim)
    extras = {
        "position": position,
        "content_bias": content_bias,
        "position_bias": position_bias,
    }
    for name, tensor in extras.items():
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
    factor = 1 / math.sqrt(dim) if scale is None else scale
    wide = widen(query)
    content = (wide + widen(content_bias)[:, None]) @ share_heads(widen(key), heads).mT
    place = (wide + widen(position_bias)[:, None]) @ widen(position).mT
    return masked_softmax((content + _shifted(place, keys)) * factor, mask).to(query.dtype)


@hidden_kept_out
def transformer_xl_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    position: Float[Tensor, "heads distances dim"],
    content_bias: Float[Tensor, "heads dim"],
    position_bias: Float[Tensor, "heads dim"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `transformer_xl_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        position: `r`, the projected embedding of each distance, from the largest to the smallest.
        content_bias: `u`, added to the query where it meets a key.
        position_bias: `v`, added to the query where it meets a distance.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the score. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Dai et al. 2019, arXiv:1901.02860, section 3.3; the shift: appendix B.

    Cost:
        Stores `queries x (keys + queries)` and `queries x keys` scores a head, and nothing of size
        `queries x keys x dim`. Exact.
    """
    check_qkv(query, key, value)
    weights = transformer_xl_weights(
        widen(query),
        key,
        position=position,
        content_bias=content_bias,
        position_bias=position_bias,
        mask=mask,
        scale=scale,
    )
    return aggregate(weights, value, query.dtype)


def _shifted(
    scores: Float[Tensor, "batch heads queries distances"], keys: int
) -> Float[Tensor, "batch heads queries keys"]:
    """Row `i` moved to the left by `queries - 1 - i`, so that its columns are keys.

    In memory a row begins where the one before ends. Read as rows that are one shorter, from the
    place where the first key of the first row stands, each begins one place further to the left.
    """
    queries, distances = scores.shape[2:]
    wider = pad(scores, (0, 1))  # so that the last row is not too short
    if not queries:
        return wider[..., :keys]
    flat = wider.flatten(2)[..., queries - 1 : queries - 1 + queries * distances]
    return flat.unflatten(2, (queries, distances))[..., :keys]
