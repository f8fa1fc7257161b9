"""A mask in the words of a foreign function."""

from typing import Literal

from torch import Tensor

from heedful.mask import Mask

Meaning = Literal["attend", "hide", "add"]


def lower(mask: Mask | None, query: Tensor, key: Tensor, meaning: Meaning) -> Tensor | None:
    """A mask as a tensor of all four axes, in the words of a foreign function."""
    if mask is None:
        return None
    batch, heads, queries, _ = query.shape
    keys, device = key.shape[2], query.device
    if meaning == "add":
        return mask.to_additive(
            queries, keys, dtype=query.dtype, batch=batch, heads=heads, device=device
        )
    visible = mask.to_bool(queries, keys, batch=batch, heads=heads, device=device)
    return visible if visible is None or meaning == "attend" else ~visible
