"""Weights of int8 numbers on the CPU: a scale for each row of the weight and of what comes in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.kernels.linear.product import Curve, int8_linear

LARGEST = 127  # the range is symmetric, so that 0 stays 0
SMALLEST = 1e-30  # of a scale, so that its inverse is a number
MIDDLE = 128  # what stands for 0 among numbers without a sign


def steps_of(weight: Tensor) -> Tensor:
    """Return by how much the numbers of each row of a weight differ at least, `(outs, 1)`."""
    least = torch.finfo(torch.float32).tiny
    return weight.abs().amax(1, keepdim=True).clamp(min=least) / LARGEST


@dataclass(frozen=True)
class Int8Weight:
    """A weight as it multiplies.

    Args:
        whole: Its whole numbers, `(outs, ins)`.
        steps: What 1 stands for in each row, `(outs,)`.
    """

    whole: Tensor
    steps: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Weight":
        """Round a weight, `(outs, ins)`, to 8 bits."""
        steps = steps_of(weight.detach()).float()
        whole = (weight.detach().float() / steps).round().to(torch.int8)
        return cls(whole, steps.flatten())

    def times(self, rows: Tensor, bias: Tensor | None, curve: Curve | None = None) -> Tensor:
        """Multiply each row in float32, `(rows, ins)`; one that holds NaN or inf gives NaN."""
        bias = None if bias is None else bias.float()
        return int8_linear(rows, self.whole, self.steps, bias, curve)

    def full(self) -> Tensor:
        """Return it in float32; rounded anew, that is the same again."""
        return self.whole.float() * self.steps[:, None]
