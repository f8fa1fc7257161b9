"""Scalable-softmax attention as a mechanism."""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.scalable import scalable_attention, scalable_weights


@final
class Scalable(Mechanism):
    """Scores grow with the logarithm of the number of keys, by a factor learned per head.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        start: What the factor of every head is before training. 0.43 is that of the paper's
            figure 1.

    Raises:
        ConfigError: `start` is not a finite number.

    Source:
        Nakanishi 2025, arXiv:2501.19399.
    """

    def __init__(self, *, heads: int, dim: int, start: float = 0.43) -> None:
        super().__init__(heads=heads, dim=dim)
        if not math.isfinite(start):
            raise ConfigError(f"start must be finite, got {start}")
        self.strength = nn.Parameter(torch.full((heads,), float(start)))

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return scalable_attention(query, key, value, strength=self.strength, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return scalable_weights(query, key, strength=self.strength, mask=mask)
