"""Low-rank attention: queries and keys meet in fewer dimensions than they have."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


def low_rank_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    query_projection: Float[Tensor, "heads dim rank"],
    key_projection: Float[Tensor, "heads dim rank"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * (query_i A) . (key_j B))`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        query_projection: `A`, one for each query head.
        key_projection: `B`, one for each query head.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`, whatever the rank.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the projections or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Bhojanapalli et al. 2020, arXiv:2002.07028 (what the rank of the scores limits).

    Cost:
        Stores `queries x keys` scores per head.
    """
    check_qkv(query, key)
    _check_projections(query, query_projection, key_projection)
    small_query, small_key = _project(query, key, query_projection, key_projection)
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    return scaled_dot_weights(small_query, small_key, mask=mask, scale=factor).to(query.dtype)


@hidden_kept_out
def low_rank_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    query_projection: Float[Tensor, "heads dim rank"],
    key_projection: Float[Tensor, "heads dim rank"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `low_rank_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        query_projection: `A`, one for each query head.
        key_projection: `B`, one for each query head.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`, whatever the rank.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the projections or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Bhojanapalli et al. 2020, arXiv:2002.07028 (what the rank of the scores limits).

    Cost:
        As `scaled_dot_attention`, with scores of `rank` products each instead of `dim`: a smaller
        part of what is still quadratic. Approximate; exact where `A B^T` is the identity.
    """
    check_qkv(query, key, value)
    _check_projections(query, query_projection, key_projection)
    small_query, small_key = _project(query, key, query_projection, key_projection)
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    wide = share_heads(value.to(small_query.dtype), query.shape[1])
    output = scaled_dot_attention(small_query, small_key, wide, mask=mask, scale=factor)
    return output.to(query.dtype)


class Projections(NamedTuple):
    """What `low_rank_attention` takes.

    Args:
        query_projection: `A`.
        key_projection: `B`.
    """

    query_projection: Float[Tensor, "heads dim rank"]
    key_projection: Float[Tensor, "heads dim rank"]


def factorise(
    query_weight: Float[Tensor, "heads dim width"],
    key_weight: Float[Tensor, "kv_heads dim width"],
    *,
    rank: int,
) -> Projections:
    """Find the projections of a rank whose scores are nearest to those of two weights.

    The score of two vectors is `x . (W_q^T W_k) y`. Among all matrices of this rank,
    `W_q^T A B^T W_k` is the nearest to `W_q^T W_k` in the sum of squares; so the error never grows
    with the rank, and at `rank = dim` it is 0. A bias is a further column of its weight.

    Args:
        query_weight: `W_q` of every head.
        key_weight: `W_k`; `kv_heads` divides `heads`.
        rank: From 1 to `dim`, or to `width` where that is less.

    Returns:
        The projections, in the dtype of `query_weight`, float32 at least.

    Raises:
        ShapeError: The weights do not fit together.
        ConfigError: A weight is not floating-point, or `rank` is out of range.

    Source:
        Eckart and Young 1936, "The approximation of one matrix by another of lower rank".

    Cost:
        QR decompositions of `width x dim` matrices and an SVD of a `dim x dim` matrix per head;
        the product `width x width` is never made.
    """
    _check_weights(query_weight, key_weight, rank)
    left = widen(query_weight)
    right = share_heads(key_weight.to(left.dtype)[None], len(left))[0]
    # W^T = Q R, and Q does not change any norm: what is left of the product is R_q R_k^T.
    left_core = torch.linalg.qr(left.mT).R
    right_core = torch.linalg.qr(right.mT).R
    u, sizes, vh = torch.linalg.svd(left_core @ right_core.mT, full_matrices=False)
    u, sizes, vh = u[..., :rank], sizes[..., :rank], vh[..., :rank, :]
    # Directions of size 0 carry no score; their inverse would.
    negligible = torch.finfo(left.dtype).eps * left.shape[1] * sizes.amax(-1, keepdim=True)
    there = sizes > negligible
    inverse = torch.where(there, torch.where(there, sizes, 1.0).rsqrt(), 0.0)[:, None]
    return Projections(right_core.mT @ vh.mT * inverse, left_core.mT @ u * inverse)


def _project(
    query: Tensor, key: Tensor, query_projection: Tensor, key_projection: Tensor
) -> tuple[Tensor, Tensor]:
    wide = widen(query)
    shared = share_heads(key.to(wide.dtype), query.shape[1])
    return wide @ query_projection.to(wide.dtype), shared @ key_projection.to(wide.dtype)


def _check_projections(query: Tensor, query_projection: Tensor, key_projection: Tensor) -> None:
    heads, dim = query.shape[1], query.shape[3]
    named = {"query_projection": query_projection, "key_projection": key_projection}
    for name, tensor in named.items():
        if tensor.ndim != 3 or tensor.shape[:2] != (heads, dim):
            raise ShapeError(
                f"{name} must have shape (heads={heads}, dim={dim}, rank), "
                f"got {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
    if query_projection.shape[2] != key_projection.shape[2]:
        raise ShapeError(
            f"query_projection and key_projection must have the same rank, "
            f"got {query_projection.shape[2]} and {key_projection.shape[2]}"
        )


def _check_weights(query_weight: Tensor, key_weight: Tensor, rank: int) -> None:
    for name, tensor in {"query_weight": query_weight, "key_weight": key_weight}.items():
        if tensor.ndim != 3:
            raise ShapeError(
                f"{name} must be 3-D (heads, dim, width), got a tensor of shape "
                f"{tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
    heads, kv_heads = len(query_weight), len(key_weight)
    if kv_heads < 1 or heads % kv_heads:
        raise ShapeError(f"heads of key_weight must divide heads, got {kv_heads=}, {heads=}")
    if query_weight.shape[1:] != key_weight.shape[1:]:
        raise ShapeError(
            f"query_weight and key_weight must have the same dim and width, "
            f"got {tuple(query_weight.shape[1:])} and {tuple(key_weight.shape[1:])}"
        )
    largest = min(query_weight.shape[1:])
    if not 1 <= rank <= largest:
        raise ConfigError(f"rank must be from 1 to {largest}, got {rank}")
