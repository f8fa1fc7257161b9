"""What the masks of other libraries say: who is seen, and what is added to the scores."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask


class Hiding(NamedTuple):
    """What an additive mask says: who is seen, and what is added to the scores beyond that."""

    mask: Mask | None = None
    added: Tensor | None = None

    def __and__(self, other: "Hiding") -> "Hiding":
        """Both at once."""
        masks = [mask for mask in (self.mask, other.mask) if mask is not None]
        both = masks[0] & masks[1] if len(masks) == 2 else next(iter(masks), None)
        added = [x for x in (self.added, other.added) if x is not None]
        return Hiding(both, added[0] + added[1] if len(added) == 2 else next(iter(added), None))

    def adds(self) -> bool:
        """Is there anything to add but 0? On an accelerator this waits for the answer."""
        return self.added is not None and bool((self.added != 0).any())


NOTHING = Hiding()  # is hidden


def hidden_by(mask: Tensor) -> Hiding:
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
        return Hiding(_lengths(mask) if readable else Mask.dense(mask))
    hidden = mask.isneginf()
    visible = _lengths(~hidden) if readable else Mask.dense(~hidden)
    if readable and not mask.requires_grad and ((mask == 0) | hidden).all():
        return Hiding(visible)
    return Hiding(visible, mask.masked_fill(hidden, 0.0))


def pick_heads(mask: Tensor, origin: tuple[int, ...], original_heads: int) -> Tensor:
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
