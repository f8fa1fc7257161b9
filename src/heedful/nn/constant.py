"""What is left where attention was dropped: the same vector for every query."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.cache import KeyValueCache


class Constant(nn.Module):
    """Return one learned vector wherever `Attention` would have looked around.

    It stands in the place of an `Attention`, is called as one, and looks at nothing. The layers of
    `heedful.nn.blocks` see to it that nothing is computed for it.

    Args:
        width: Size of the vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Return the vector for every query; the other arguments are those of `Attention`."""
        return self.vector.to(x.dtype).expand_as(x)
