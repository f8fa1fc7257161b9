"""Masks of other libraries, taken apart: who sees whom, and what is added to the scores."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask


class MaskAndBias(NamedTuple):
    """What an additive mask says: who is seen, and what is added to the scores beyond that."""

    mask: Mask | None = None
    bias: Tensor | None = None

    def __and__(self, other: "MaskAndBias") -> "MaskAndBias":
        """Both at once."""
        masks = [mask for mask in (self.mask, other.mask) if mask is not None]
        both = masks[0] & masks[1] if len(masks) == 2 else next(iter(masks), None)
        some = [x for x in (self.bias, other.bias) if x is not None]
        bias = some[0] + some[1] if len(some) == 2 else next(iter(some), None)
        return MaskAndBias(both, bias)

    def has_bias(self) -> bool:
        """Is there anything to add but 0? On an accelerator this waits for the answer."""
        return self.bias is not None and bool((self.bias != 0).any())


NO_MASK = MaskAndBias()


def split_mask(mask: Tensor) -> MaskAndBias:
    """Take a mask apart.

    Args:
        mask: `(queries, keys)` or `(batch, heads, queries, keys)`; True = attend, or numbers that
            are added to the scores.

    Returns:
        Lengths instead of a dense mask where it is padding behind texts, and nothing to add where
        all that it does is hide, as far as that is seen without waiting for another device.

    Raises:
        ConfigError: The mask holds whole numbers.
    """
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ConfigError(f"a mask must be boolean or floating-point, got {mask.dtype}")
    readable = mask.device.type == "cpu" and not torch.compiler.is_compiling()
    if mask.dtype == torch.bool:
        return MaskAndBias(_lengths(mask) if readable else Mask.dense(mask))
    hidden = mask.isneginf()
    visible = _lengths(~hidden) if readable else Mask.dense(~hidden)
    if readable and not mask.requires_grad and ((mask == 0) | hidden).all():
        return MaskAndBias(visible)
    return MaskAndBias(visible, mask.masked_fill(hidden, 0.0))


def select_heads(mask: Tensor, origin: tuple[int, ...], original_heads: int) -> Tensor:
    """Return those of a mask that tells the original heads apart, on its second axis, we have."""
    if mask.shape[1] != original_heads:  # of all heads alike, or made for those left
        return mask
    return mask[:, list(origin)]


def _lengths(visible: Tensor) -> Mask:
    """The mask of padding behind texts by their lengths, which kernels can skip."""
    if visible.ndim == 4 and visible.shape[1:3] == (1, 1):
        lengths = visible.sum(-1).flatten()
        if torch.equal(torch.arange(visible.shape[3]) < lengths[:, None], visible[:, 0, 0]):
            return Mask.lengths(lengths)
    return Mask.dense(visible)
