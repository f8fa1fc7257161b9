"""Layers of 8 bits as ONNX Runtime multiplies them: whole numbers, with a scale for each row."""

import torch
from torch import Tensor, nn

from heedful.kernels.linear.product import Curve, curved
from heedful.nn._int8 import LARGEST, MIDDLE, SMALLEST, steps_of
from heedful.nn.low_precision import LowPrecisionLinear

VERSION = 10  # of the operator


class Int8Linear(nn.Module):
    """What a `LowPrecisionLinear` of int8 does, in operations that a graph can hold.

    Args:
        layer: Whose weight is rounded.

    Cost:
        In torch as much as in full precision: only a graph multiplies 8 bits.
    """

    whole: Tensor
    steps: Tensor

    def __init__(self, layer: LowPrecisionLinear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        steps = steps_of(weight)
        self.register_buffer("whole", (weight / steps).round().to(torch.int8).T.contiguous())
        self.register_buffer("steps", steps.flatten() / LARGEST)
        self.bias: nn.Parameter | None = layer.bias
        self.curve: Curve | None = layer.curve

    def forward(self, x: Tensor) -> Tensor:
        """Multiply: each row that comes in is rounded by its own largest number."""
        sizes = x.abs().amax(-1, keepdim=True).clamp(min=SMALLEST)
        low = (x * (LARGEST / sizes)).round()
        found = multiply(low, self.whole) * sizes * self.steps
        return curved(found if self.bias is None else found + self.bias, self.curve)


def multiply(low: Tensor, whole: Tensor) -> Tensor:
    """Multiply whole numbers of 8 bits, as floats."""
    return low @ whole.to(low.dtype)


def multiply_in_onnx(low: Tensor, whole: Tensor) -> Tensor:
    """Stand in for `multiply` while a graph for ONNX is written down.

    ONNX Runtime is fast where the left side has no sign: so 128 stands for 0.
    """
    zero = torch.tensor(MIDDLE, dtype=torch.uint8)
    made = torch.onnx.ops.symbolic(
        "MatMulInteger",
        [(low + MIDDLE).to(torch.uint8), whole, zero],
        dtype=torch.int32,
        shape=(*low.shape[:-1], whole.shape[1]),
        version=VERSION,
    )
    return made.to(low.dtype)
