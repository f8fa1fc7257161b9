"""Cosine attention as a mechanism."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn._limit import limited
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops._softmax import widen
from heedful.ops.cosine import cosine_attention, cosine_weights


@final
class Cosine(OpMechanism, attention=cosine_attention, weights=cosine_weights):
    """Score by `scale * cos(query, key)`, with one learned scale a head.

    The logarithm of the scale is learned, so the scale is always above 0, and it counts as
    `largest` where it is beyond: there it gets no gradient, as in Swin V2, whose `tau = 1 / scale`
    is at least 0.01.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        start: What the scale of every head is before training.
        largest: What the scale never exceeds.

    Raises:
        ConfigError: `start` is not above 0, or `largest` is below `start`.

    Source:
        Liu et al. 2021, arXiv:2111.09883, section 3.2.
        Henry et al. 2020, arXiv:2010.04245.
    """

    def __init__(
        self, *, heads: int, dim: int, start: float = 10.0, largest: float = 100.0
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if not 0 < start <= largest:
            raise ConfigError(
                f"start must be above 0 and at most largest, got {start=}, {largest=}"
            )
        self.largest = largest
        self.log_scale = nn.Parameter(torch.full((heads,), math.log(start)))

    def scale(self) -> Float[Tensor, " heads"]:
        """Return the factor of the cosine in each head, in float32 at least."""
        return limited(widen(self.log_scale), most=math.log(self.largest)).exp()

    def arguments(self) -> dict[str, Any]:
        return {"scale": self.scale()}
