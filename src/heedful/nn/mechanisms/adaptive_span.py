"""Adaptive span as a mechanism."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn._limit import limited
from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.adaptive_span import adaptive_span_attention, adaptive_span_weights


@final
class AdaptiveSpan(OpMechanism, attention=adaptive_span_attention, weights=adaptive_span_weights):
    """Let every head learn how far it looks back; what lies beyond all spans costs nothing.

    The span of a head is `max_span * clamp(fraction, 0, 1)` with one learned `fraction` a head. It
    shrinks only where `penalty` is added to the loss. Beyond 0 or 1 a fraction gets no gradient any
    more: call `keep_inside` after each step of the optimiser, as the paper's code does.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        max_span: The largest span that can be learned.
        ramp: Over how many positions beyond its span a head fades.
        start: What the fraction of every head is before training. The paper's code starts at 0.

    Raises:
        ConfigError: `max_span < 1`, `ramp` is not above 0, or `start` is not in [0, 1].

    Source:
        Sukhbaatar et al. 2019, arXiv:1905.07799.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        max_span: int = 1024,
        ramp: float = 32.0,
        start: float = 0.5,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(max_span=max_span)
        if not ramp > 0:
            raise ConfigError(f"ramp must be above 0, got {ramp}")
        if not 0 <= start <= 1:
            raise ConfigError(f"start must be in [0, 1], got {start}")
        self.max_span, self.ramp = max_span, ramp
        self.fraction = nn.Parameter(torch.full((heads,), start))

    def span(self) -> Float[Tensor, " heads"]:
        """Return up to which distance each head looks in full."""
        return self.max_span * limited(self.fraction, least=0.0, most=1.0)

    def penalty(self) -> Float[Tensor, ""]:
        """Return the mean span: add a small multiple of it to the loss."""
        return self.span().mean()

    def reach(self) -> int:
        """Return how many keys up to its own a query can see: all earlier ones can be dropped."""
        return math.ceil(float(self.span().detach().max()) + self.ramp)

    def keep_inside(self) -> None:
        """Move fractions that left [0, 1] back to its end."""
        with torch.no_grad():
            self.fraction.clamp_(0, 1)

    def arguments(self) -> dict[str, Any]:
        return {"span": self.span(), "ramp": self.ramp}
