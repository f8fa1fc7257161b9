"""Performer attention (FAVOR+): softmax attention, estimated with positive random features."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._feature_maps import attend, time_and_keys, visible_rows, weigh
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import widen


def performer_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    projection: Float[Tensor, "#heads features dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `phi(query) . phi(key)`, where `phi(x) = exp(w . y - |y|^2 / 2)`.

    There is one feature for each row `w` of `projection`, and `y = x / dim^(1/4)`. The weights are
    shared out to one over the visible keys; with more and more random rows they become those of
    `scaled_dot_weights`.

    Unlike in the authors' code nothing small is added to the features: they are computed as
    logarithms, and sums are divided by the largest visible term, feature by feature. That cancels,
    no denominator vanishes, and under a causal mask no query depends on what comes later.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        projection: Random rows, e.g. of `orthogonal_projection`, for each query head or for all.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        Weights that sum to one over the visible keys; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the projection or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Choromanski et al. 2020, arXiv:2009.14794.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    _check_projection(query, projection)
    seen = time_and_keys(mask, query, key, name="Performer")
    rows = visible_rows(key, query, seen)
    return weigh(_log_query(query, projection), _log_key(rows, projection), seen).to(query.dtype)


@hidden_kept_out
def performer_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    projection: Float[Tensor, "#heads features dim"],
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `performer_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        projection: Random rows, e.g. of `orthogonal_projection`, for each query head or for all.
        mask: Which query may see which key: causal, a choice of keys, or both. `None` means: all.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the projection or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask is neither causal nor a choice of keys.

    Source:
        Choromanski et al. 2020, arXiv:2009.14794.

    Cost:
        `features * (dim + value_dim)` products for each query and each key of a head: linear in
        both lengths, in time and in memory. A causal mask adds the pairs inside chunks of 64 keys,
        and keeps sums of `features * (value_dim + 1)` numbers for each chunk. Approximate: the
        error falls with the number of features and grows fast with the norms of queries and keys.
    """
    check_qkv(query, key, value)
    _check_projection(query, projection)
    seen = time_and_keys(mask, query, key, name="Performer")
    rows, values = (visible_rows(x, query, seen) for x in (key, value))
    log_query, log_key = _log_query(query, projection), _log_key(rows, projection)
    return attend(log_query, log_key, values, seen).to(query.dtype)


def orthogonal_projection(
    features: int, dim: int, *, heads: int = 1, generator: torch.Generator
) -> Float[Tensor, "heads features dim"]:
    """Draw normal rows that are orthogonal to each other, `dim` by `dim`.

    Each row for itself is normal: its direction is uniform, its length is that of another normal
    vector. Blocks of `dim` rows are orthogonal, which lowers the variance of the estimate; blocks
    are independent of each other.

    Args:
        features: Rows for each head.
        dim: Size of one head of queries and keys.
        heads: Independent draws.
        generator: Where randomness comes from; the result is on its device.

    Returns:
        The rows, in the default dtype.

    Raises:
        ConfigError: `features`, `dim` or `heads` is below 1.

    Source:
        Choromanski et al. 2020, arXiv:2009.14794.

    Cost:
        A QR decomposition of `dim x dim` for each `dim` rows.
    """
    if min(features, dim, heads) < 1:
        raise ConfigError(
            f"features, dim and heads must be at least 1, got {features=}, {dim=}, {heads=}"
        )
    shape = (2, heads, -(-features // dim), dim, dim)
    drawn = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)
    basis, upper = torch.linalg.qr(drawn[0])
    # The decomposition prefers one sign on the diagonal, so that not all directions are as likely.
    basis = basis * upper.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    rows = basis * drawn[1].norm(dim=-1, keepdim=True)
    return rows.flatten(1, 2)[:, :features].to(torch.get_default_dtype())


def _log_query(query: Tensor, projection: Tensor) -> Tensor:
    # Without -|y|^2 / 2, which all features of a query share, so that it cancels.
    wide = widen(query)
    return (wide * query.shape[3] ** -0.25) @ projection.to(wide.dtype).mT


def _log_key(rows: Tensor, projection: Tensor) -> Tensor:
    scaled = rows * rows.shape[3] ** -0.25
    return scaled @ projection.to(rows.dtype).mT - scaled.square().sum(-1, keepdim=True) / 2


def _check_projection(query: Tensor, projection: Tensor) -> None:
    heads, dim = query.shape[1], query.shape[3]
    shape = tuple(projection.shape)
    if len(shape) != 3 or shape[0] not in (1, heads) or shape[1] < 1 or shape[2] != dim:
        raise ShapeError(
            f"projection must have shape (1 or heads={heads}, features, dim={dim}), got {shape}"
        )
    if not projection.is_floating_point():
        raise ConfigError(f"projection must be floating-point, got {projection.dtype}")
