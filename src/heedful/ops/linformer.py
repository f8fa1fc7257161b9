"""Linformer attention: all keys and values are mixed into a few, whatever their number."""

import math

from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._chosen_keys import chosen_keys, hide, shares
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen

REASON = "Linformer mixes the keys before a query sees them"


def linformer_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    key_projection: Float[Tensor, "#heads rank max_keys"],
    value_projection: Float[Tensor, "#heads rank max_keys"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax(scale * query (E key)^T) F`.

    `E` and `F` are the first `keys` columns of the two projections, without those of hidden keys. A
    slot to which `E` takes no visible key does not take part, unlike in the paper, where it would
    as a key of zeros: so a short or padded text gets the answers that it gets alone, and the
    identity as both projections gives exact attention.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        key_projection: `E`, one for each query head or one for all.
        value_projection: `F`, likewise.
        mask: Which keys exist, the same for every query. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that may be negative and need not sum to one; zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the projections or the mask do not fit together, or there are more
            keys than the projections have columns.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask shows some queries other keys than others.

    Source:
        Wang et al. 2020, arXiv:2006.04768.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    _check_projections(query, key, key_projection, value_projection)
    visible = chosen_keys(mask, query, key, because=REASON)
    slots = _slot_weights(query, key, key_projection, visible, scale)
    spread = widen(value_projection)[..., : key.shape[2]].to(slots.dtype)[None]
    return (slots @ _hide_columns(spread, visible)).to(query.dtype)


@hidden_kept_out
def linformer_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    key_projection: Float[Tensor, "#heads rank max_keys"],
    value_projection: Float[Tensor, "#heads rank max_keys"],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `linformer_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        key_projection: `E`, one for each query head or one for all.
        value_projection: `F`, likewise.
        mask: Which keys exist, the same for every query. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the projections or the mask do not fit together, or there are more
            keys than the projections have columns.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.
        UnsupportedError: The mask shows some queries other keys than others.

    Source:
        Wang et al. 2020, arXiv:2006.04768.

    Cost:
        `rank` scores a query and `2 * rank * keys` products a head for the mixing: linear in both
        lengths. Approximate; exact where both projections are the identity.
    """
    check_qkv(query, key, value)
    _check_projections(query, key, key_projection, value_projection)
    visible = chosen_keys(mask, query, key, because=REASON)
    slots = _slot_weights(query, key, key_projection, visible, scale)
    wide = hide(share_heads(value.to(slots.dtype), query.shape[1]), visible)
    mixed = value_projection[..., : key.shape[2]].to(slots.dtype) @ wide
    return (slots @ mixed).to(query.dtype)


def _slot_weights(
    query: Tensor,
    key: Tensor,
    key_projection: Tensor,
    visible: Bool[Tensor, "#batch #heads keys"] | None,
    scale: float | None,
) -> Float[Tensor, "batch heads queries rank"]:
    """How much every query takes of every slot."""
    heads, dim = query.shape[1], query.shape[3]
    factor = 1 / math.sqrt(dim) if scale is None else scale
    wide = widen(query)
    mix = key_projection[..., : key.shape[2]].to(wide.dtype)
    mixed = mix @ hide(share_heads(key.to(wide.dtype), heads), visible)
    reached = (_hide_columns(mix[None], visible) != 0).any(-1)
    return shares((wide * factor) @ mixed.mT, reached[:, :, None])


def _hide_columns(
    projection: Float[Tensor, "1 #heads rank keys"],
    visible: Bool[Tensor, "#batch #heads keys"] | None,
) -> Float[Tensor, "#batch #heads rank keys"]:
    return projection if visible is None else projection.masked_fill(~visible[:, :, None], 0.0)


def _check_projections(
    query: Tensor, key: Tensor, key_projection: Tensor, value_projection: Tensor
) -> None:
    heads, keys = query.shape[1], key.shape[2]
    named = {"key_projection": key_projection, "value_projection": value_projection}
    for name, tensor in named.items():
        if tensor.ndim != 3 or tensor.shape[0] not in (1, heads):
            raise ShapeError(
                f"{name} must have shape (1 or heads={heads}, rank, max_keys), "
                f"got {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {tensor.dtype}")
        if tensor.shape[2] < keys:
            raise ShapeError(f"{name} must have a column per key, got {tensor.shape[2]} for {keys}")
    if key_projection.shape[1] != value_projection.shape[1]:
        raise ShapeError(
            f"key_projection and value_projection must have the same rank, "
            f"got {key_projection.shape[1]} and {value_projection.shape[1]}"
        )
