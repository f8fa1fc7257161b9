"""Hedgehog attention: linear attention with learned features that are as spiky as a softmax."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._feature_maps import attend, time_and_keys, visible_rows, weigh
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import widen


def hedgehog_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    query_map: Float[Tensor, "heads dim features"],
    key_map: Float[Tensor, "heads dim features"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `phi(query) . phi(key)`, where `phi(x) = softmax([x W; -x W])`.

    The weights are shared out to one over the visible keys. `W` is `query_map` for queries and
    `key_map` for keys; the softmax is over the `2 * features` features.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        query_map: `W` of the queries, one for each query head.
        key_map: `W` of the keys, one for each query head.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the maps or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Zhang et al. 2024, arXiv:2402.04347.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    _check_maps(query, query_map, key_map)
    seen = time_and_keys(mask, query, key, name="Hedgehog")
    rows = visible_rows(key, query, seen)
    log_query, log_key = _log_features(widen(query), query_map), _log_features(rows, key_map)
    return weigh(log_query, log_key, seen).to(query.dtype)


@hidden_kept_out
def hedgehog_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    query_map: Float[Tensor, "heads dim features"],
    key_map: Float[Tensor, "heads dim features"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `hedgehog_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        query_map: `W` of the queries, one for each query head.
        key_map: `W` of the keys, one for each query head.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the maps or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Zhang et al. 2024, arXiv:2402.04347.

    Cost:
        `2 * features * value_dim` products for each query and each key of a head: linear in both
        lengths, in time and in memory. A causal mask adds the pairs inside chunks of 64 keys, and
        keeps sums of `2 * features * (value_dim + 1)` numbers for each chunk. Exact.
    """
    check_qkv(query, key, value)
    _check_maps(query, query_map, key_map)
    seen = time_and_keys(mask, query, key, name="Hedgehog")
    rows, values = (visible_rows(x, query, seen) for x in (key, value))
    log_query, log_key = _log_features(widen(query), query_map), _log_features(rows, key_map)
    return attend(log_query, log_key, values, seen).to(query.dtype)


def _log_features(
    rows: Float[Tensor, "batch heads length dim"], learned: Float[Tensor, "heads dim features"]
) -> Float[Tensor, "batch heads length twice_features"]:
    mapped = rows @ learned.to(rows.dtype)
    return torch.cat((mapped, -mapped), -1).log_softmax(-1)


def _check_maps(query: Tensor, query_map: Tensor, key_map: Tensor) -> None:
    heads, dim = query.shape[1], query.shape[3]
    for name, tensor in (("query_map", query_map), ("key_map", key_map)):
        if tensor.ndim != 3 or tensor.shape[:2] != (heads, dim) or tensor.shape[2] < 1:
            raise ShapeError(
                f"{name} must have shape (heads={heads}, dim={dim}, features), "
                f"got {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
    if query_map.shape[2] != key_map.shape[2]:
        raise ShapeError(
            f"query_map and key_map must have as many features, "
            f"got {query_map.shape[2]} and {key_map.shape[2]}"
        )
