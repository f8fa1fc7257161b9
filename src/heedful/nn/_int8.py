"""Products of int8 numbers on the CPU: a scale for each row of the weight and of what comes in."""

import math
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

LARGEST = 127  # the range is symmetric, so that 0 stays 0
SMALLEST = 1e-30  # of a scale, so that its inverse is a number
TOGETHER = 512  # rows, whose numbers on their way to 8 bits and back stay in the cache
MIDDLE = 128  # what stands for 0 among numbers without a sign


def steps_of(weight: Tensor) -> Tensor:
    """Return by how much the numbers of each row of a weight differ at least, `(outs, 1)`."""
    least = torch.finfo(torch.float32).tiny
    return weight.abs().amax(1, keepdim=True).clamp(min=least) / LARGEST


@dataclass(frozen=True)
class Int8Weight:
    """A weight as oneDNN multiplies by it or, without VNNI, as torch's quantised tensors are.

    Args:
        packed: Its whole numbers, in the order in which they are read.
        steps: One for each of its rows, `(outs,)`.
        zeros: As many zeros.
    """

    packed: Any
    steps: Tensor
    zeros: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Weight":
        """Round a weight, `(outs, ins)`, to 8 bits."""
        steps = steps_of(weight.detach()).float().flatten()
        whole = (weight.detach().float() / steps[:, None]).round().to(torch.int8)
        zeros = torch.zeros(len(steps), dtype=torch.long)
        if _has_vnni():
            return cls(torch.ops.onednn.qlinear_prepack(whole, None), steps, zeros)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tensors like this one are deprecated
            make: Any = vars(torch)["_make_per_channel_quantized_tensor"]
            tensor = make(whole, steps, zeros, 0)
            return cls(torch.ops.quantized.linear_prepack(tensor, None), steps, zeros)

    def times(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply each row in float32, `(rows, ins)`; one that holds NaN or inf gives NaN."""
        parts = rows.split(TOGETHER)
        if len(parts) == 1:
            return self._times(rows, bias)
        return torch.cat([self._times(part, bias) for part in parts])

    def _times(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        sizes = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg())
        sizes = sizes.clamp_(min=SMALLEST)
        scales = sizes
        if len(rows) and not math.isfinite(float(sizes.amax())):
            numbers = sizes.isfinite()
            rows, scales = rows.masked_fill(~numbers, 0), sizes.masked_fill(~numbers, 1)
            sizes = sizes.masked_fill(~numbers, math.nan)
        made = self._onednn(rows, scales) if _has_vnni() else self._quantised(rows, scales)
        return made * sizes if bias is None else torch.addcmul(bias.float(), made, sizes)

    def _onednn(self, rows: Tensor, scales: Tensor) -> Tensor:
        low = rows.mul(LARGEST / scales).round_().to(torch.int8)
        low = low.view(torch.uint8).bitwise_xor_(MIDDLE)  # the same as to add 128
        return torch.ops.onednn.qlinear_pointwise(
            *(low, 1 / LARGEST, MIDDLE, self.packed, self.steps, self.zeros),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )

    def _quantised(self, rows: Tensor, scales: Tensor) -> Tensor:
        room = rows.new_empty(len(rows) + 2, rows.shape[1])
        torch.div(rows, scales, out=room[:-2])
        room[-2], room[-1] = 1, -1  # the one scale that torch gives all rows is then that of 1
        # sums of full range would overflow
        return torch.ops.quantized.linear_dynamic(room, self.packed, reduce_range=True)[:-2]


@cache
def _has_vnni() -> bool:
    """Does the CPU add up products of 8 bits exactly, and does torch reach it through oneDNN?"""
    found = torch.cpu._is_vnni_supported()  # pyright: ignore[reportPrivateUsage]
    return found and torch.backends.mkldnn.is_available()
