"""Scalable-softmax attention as a mechanism."""

import math
from typing import Any, final

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.scalable import scalable_attention, scalable_weights


@final
class Scalable(OpMechanism, attention=scalable_attention, weights=scalable_weights):
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

    def arguments(self) -> dict[str, Any]:
        return {"strength": self.strength}
