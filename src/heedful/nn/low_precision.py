"""A linear layer that multiplies in few bits where nobody learns, and learns in as many as ever."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal, cast, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from heedful.errors import ConfigError

Precision = Literal["bf16", "int8"]

LARGEST = 127  # the range is symmetric, so that 0 stays 0


def check_precision(precision: str) -> None:
    """Raise unless there is such a precision.

    Raises:
        ConfigError: There is none.
    """
    if precision not in get_args(Precision):
        raise ConfigError(
            f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}"
        )


@dataclass(frozen=True)
class _Packed:
    """A weight ready for use, and what it was made of: when that changes, it is made anew."""

    source: Tensor  # held, so that no other tensor can come to lie where it lay
    version: int
    weight: Any

    def is_of(self, weight: Tensor) -> bool:
        """Was it made of this tensor, and has that not been written to since?"""
        source = self.source
        if weight.is_inference():
            return False  # nobody counts what is written to it
        same = source.data_ptr() == weight.data_ptr() and source.shape == weight.shape
        return same and source.dtype == weight.dtype and self.version == weight._version


@final
class LowPrecisionLinear(nn.Linear):
    """`nn.Linear` with products of bf16 or int8 numbers, in the dtype of what comes in.

    With int8 each row of the weight has a scale of its own, and what comes in gets one a call. The
    weight stays as it was and is what is trained, copied and saved: while gradients are recorded
    the layer multiplies by its rounded numbers at full precision, and gradients pass the rounding
    as if it were not there. Away from the CPU int8 rounds alike, but saves nothing.

    Args:
        in_features: Size of what comes in.
        out_features: Size of what comes out.
        bias: Add a vector?
        precision: Of the products.

    Raises:
        ConfigError: There is no such precision.

    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 2 (int8), section 3 (training through it).
        Kalamkar et al. 2019, arXiv:1905.12322 (bf16).

    Cost:
        Where the CPU has the instructions, down to half the time of float32 with bf16 and to a
        third with int8, for wide layers and many rows; below a width of some 200 nothing, or more
        time than before. A second weight of a half or a quarter of the size is held.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, precision: Precision
    ) -> None:
        super().__init__(in_features, out_features, bias)
        check_precision(precision)
        self.precision: Precision = precision
        self._packed: _Packed | None = None

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        return f"{super().extra_repr()}, precision={self.precision}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_packed": None}

    def forward(self, input: Float[Tensor, "*batch ins"]) -> Float[Tensor, "*batch outs"]:
        """Multiply."""
        if torch.is_grad_enabled() or (self.precision == "int8" and not input.is_cpu):
            weight = self.weight
            straight = weight + (self.rounded().to(weight.dtype) - weight).detach()
            return functional.linear(input, straight, self.bias)
        if self.precision == "bf16":
            return self._bf16(input)
        return self._int8(input)

    @torch.no_grad()
    def rounded(self) -> Float[Tensor, "outs ins"]:
        """Return the weight as it multiplies."""
        if self.precision == "bf16":
            return self.weight.bfloat16()
        step = self._step()
        return (self.weight / step).round() * step

    def _step(self) -> Float[Tensor, "outs 1"]:
        least = torch.finfo(torch.float32).tiny
        return self.weight.abs().amax(1, keepdim=True).clamp(min=least) / LARGEST

    def _bf16(self, x: Tensor) -> Tensor:
        bias = cast(Tensor | None, self.bias)
        low = None if bias is None else bias.bfloat16()
        return functional.linear(x.bfloat16(), self._ready(), low).to(x.dtype)

    def _int8(self, x: Tensor) -> Tensor:
        # without VNNI sums of full range would overflow
        reduced = not torch.cpu._is_vnni_supported()  # pyright: ignore[reportPrivateUsage]
        multiply = torch.ops.quantized.linear_dynamic
        rows = x.float().reshape(-1, self.in_features)
        made = multiply(rows, self._ready(), reduce_range=reduced)
        bias = cast(Tensor | None, self.bias)
        made = made if bias is None else made + bias.float()
        return made.to(x.dtype).unflatten(0, x.shape[:-1]) if x.ndim > 1 else made[0].to(x.dtype)

    def _ready(self) -> Any:
        weight = self.weight
        if self._packed is None or not self._packed.is_of(weight):
            made = weight.detach().bfloat16() if self.precision == "bf16" else self._pack()
            version = 0 if weight.is_inference() else weight._version
            self._packed = _Packed(weight.detach(), version, made)
        return self._packed.weight

    @torch.no_grad()
    def _pack(self) -> Any:
        step = self._step().float().flatten()
        whole = (self.weight.float() / step[:, None]).round().to(torch.int8)
        zeros = torch.zeros(len(step), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tensors like this one are deprecated
            make: Any = vars(torch)["_make_per_channel_quantized_tensor"]
            tensor = make(whole, step, zeros, 0)
            return torch.ops.quantized.linear_prepack(tensor, None)
