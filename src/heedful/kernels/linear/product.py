"""A linear layer with a weight of 8 bits: one native call, or plain operations without it."""

import ctypes
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn import functional

from heedful.errors import KernelError
from heedful.kernels.cpu import build

Curve = Literal["gelu", "gelu_tanh", "silu"]

SOURCES = Path(__file__).parent
LARGEST = 127  # the range is symmetric, so that 0 stays 0
SMALLEST = 1e-30  # of a scale, so that its inverse is a number
NO_MEMORY = 2
CURVES: tuple[Curve | None, ...] = (None, *get_args(Curve))  # in the order of `curves.h`

_library: list[ctypes.CDLL] = []  # none or one


def int8_linear(
    x: Float[Tensor, "rows ins"],
    whole: Int8[Tensor, "outs ins"],
    steps: Float[Tensor, " outs"],
    bias: Float[Tensor, " outs"] | None = None,
    curve: Curve | None = None,
) -> Float[Tensor, "rows outs"]:
    """Multiply rows by a weight of whole numbers, each row rounded to 8 bits by its own largest.

    No row's answer depends on the others. One that holds NaN or inf gives NaN.

    Args:
        x: What comes in, on the CPU, in float32; as are `steps` and `bias`.
        whole: The weight, from -127 to 127.
        steps: What 1 in each row of the weight stands for.
        bias: Added.
        curve: What follows, number by number.

    Raises:
        KernelError: There is no memory.

    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 2.

    Cost:
        rows * ins * outs products of whole numbers; the weight is read once for 512 rows. Where the
        library cannot be had, a product of floats.
    """
    library = _loaded()
    if library is None:
        return _composed(x, whole, steps, bias, curve)
    x, whole, steps = x.contiguous(), whole.contiguous(), steps.contiguous()
    bias = None if bias is None else bias.contiguous()
    (rows, ins), outs = x.shape, len(whole)
    out = x.new_empty(rows, outs)
    code = library.heedful_linear(
        *(x.data_ptr(), rows, whole.data_ptr(), steps.data_ptr()),
        *(None if bias is None else bias.data_ptr(), ins, outs, CURVES.index(curve)),
        out.data_ptr(),
    )
    if code == NO_MEMORY:
        raise KernelError("a product must fit into memory, got no memory left")
    return out


def _loaded() -> ctypes.CDLL | None:
    if _library and build.switched_on():
        return _library[0]
    try:
        loaded = build.load(sources=SOURCES)
    except KernelError:
        return None
    whole, place = ctypes.c_int64, ctypes.c_void_p
    loaded.heedful_linear.argtypes = [place, whole, *(place,) * 3, *(whole,) * 3, place]
    loaded.heedful_linear.restype = whole
    _library[:] = [loaded]
    return loaded


def _composed(
    x: Tensor, whole: Tensor, steps: Tensor, bias: Tensor | None, curve: Curve | None
) -> Tensor:
    sizes = x.abs().amax(1, keepdim=True).clamp(min=SMALLEST)
    numbers = sizes.isfinite()
    low = torch.where(numbers, x * (LARGEST / sizes), 0).round()
    made = (low @ whole.to(low.dtype).T) * (torch.where(numbers, sizes, torch.nan) / LARGEST)
    made = made * steps if bias is None else torch.addcmul(bias, made, steps)
    return curved(made, curve)


def curved(x: Tensor, curve: Curve | None) -> Tensor:
    """Apply the same curves in torch, to tensors of any dtype and device, with gradients."""
    if curve is None:
        return x
    if curve == "silu":
        return functional.silu(x)
    return functional.gelu(x, approximate="none" if curve == "gelu" else "tanh")
