"""Masks that choose keys and no more, for mechanisms that mix keys before a query sees them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Mask


def chosen_keys(
    mask: Mask | None, query: Tensor, key: Tensor, *, because: str
) -> Bool[Tensor, "#batch #heads keys"] | None:
    """Which keys exist, the same for every query; `None`: all.

    Args:
        mask: Which query may see which key.
        query: Only its shape is looked at.
        key: Only its shape is looked at.
        because: Why nothing else can be honoured.

    Raises:
        UnsupportedError: Some queries see other keys than others.
        ShapeError: The mask does not fit.
        ConfigError: A length of the mask exceeds the number of keys.
    """
    if mask is None:
        return None
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    parts = mask.factors(queries, keys, batch=batch, heads=heads, device=query.device)
    if parts is None or parts.causal is not None:
        raise UnsupportedError(
            f"mask must show every query the same keys because {because}, got {mask}"
        )
    return parts.keys


def hide(
    tensor: Float[Tensor, "batch heads keys dim"],
    visible: Bool[Tensor, "#batch #heads keys"] | None,
) -> Float[Tensor, "batch heads keys dim"]:
    """Zeros in place of what is hidden, whatever stood there."""
    return tensor if visible is None else tensor.masked_fill(~visible[..., None], 0.0)


def shares(scores: Float[Tensor, "*axes slots"], visible: Tensor | None) -> Tensor:
    """Softmax over the visible slots; zeros, also in the gradient, where there are none."""
    if visible is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(~visible, 0.0)
