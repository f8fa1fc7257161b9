"""Sigmoid attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.sigmoid import sigmoid_attention, sigmoid_weights


@final
class Sigmoid(OpMechanism, attention=sigmoid_attention, weights=sigmoid_weights):
    """Weigh every key for itself; the weights need not sum to one.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        bias: Added to the scores of every head. `None` means `-log(n)`, where `n` is the number of
            keys that the query sees.
        learned: Learn one bias per head, and start from `bias`, which then is a number?

    Raises:
        ConfigError: The bias is learned and `bias` is `None`.

    Source:
        Ramapuram et al. 2024, arXiv:2409.04431.
    """

    def __init__(
        self, *, heads: int, dim: int, bias: float | None = None, learned: bool = False
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if learned and bias is None:
            raise ConfigError("bias must be a number to be learned, got None")
        self.bias: nn.Parameter | float | None = bias
        if learned and bias is not None:
            self.bias = nn.Parameter(torch.full((heads,), float(bias)))

    def arguments(self) -> dict[str, Any]:
        return {"bias": self.bias}
