"""Entmax attention as a mechanism."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.entmax import entmax_attention, entmax_weights


@final
class Entmax(OpMechanism, attention=entmax_attention, weights=entmax_weights):
    """Weights with exact zeros; how sparse a head is can be learned.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        alpha: How sparse: 1 has no zeros, 2 has the most of what is usual. At least 1.
        learned: Learn one alpha per head as `1 + sigmoid(logit)`, starting from `alpha`, which then
            lies between 1 and 2?

    Raises:
        ConfigError: `alpha` is below 1 or not finite, or it is learned and does not lie between 1
            and 2.

    Source:
        Peters et al. 2019, arXiv:1905.05702. Learned alpha: Correia et al. 2019, arXiv:1909.00015.
    """

    def __init__(self, *, heads: int, dim: int, alpha: float = 1.5, learned: bool = False) -> None:
        super().__init__(heads=heads, dim=dim)
        if not 1 <= alpha < math.inf:
            raise ConfigError(f"alpha must be finite and at least 1, got {alpha}")
        if learned and not 1 < alpha < 2:
            raise ConfigError(f"alpha must lie between 1 and 2 to be learned, got {alpha}")
        self.start = alpha
        self.logit: nn.Parameter | None = None
        if learned:
            logit = math.log((alpha - 1) / (2 - alpha))
            self.logit = nn.Parameter(torch.full((heads,), logit))

    def alpha(self) -> float | Float[Tensor, " heads"]:
        """Return how sparse the heads are: one number, or what each has learned."""
        return self.start if self.logit is None else 1 + self.logit.sigmoid()

    def arguments(self) -> dict[str, Any]:
        return {"alpha": self.alpha()}
