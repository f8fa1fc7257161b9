"""A linear layer that multiplies in few bits where nobody learns, and learns in as many as ever."""

import math
from dataclasses import dataclass
from typing import Any, Literal, cast, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from heedful.errors import ConfigError, UnsupportedError
from heedful.kernels.linear.product import Curve, curved
from heedful.nn._int8 import Int8Weight, steps_of

Precision = Literal["bf16", "int8"]

WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
MANY = 256  # rows, beside which reading the weight once takes little
INT8, SCALE = "weight_int8", "weight_scale"  # what stands for a weight that is held in 8 bits


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
    """A weight ready for use, and what it was made of: when that changes, it is made anew.

    Not every change is counted by torch: adapters, moving averages and numpy write past its
    counter. So numbers are compared as well: some of every row and column, or the sums of all rows.

    Args:
        source: Held, so that no other tensor can come to lie where it lay.
        version: Of it, as it was.
        words: Its rows, read as whole numbers where they lie; `None` where they lie scattered.
        some: Some of these.
        were: What `some` were.
        sums: Those of the rows, as they were.
        weight: Ready for use.
    """

    source: Tensor
    version: int
    words: Tensor | None
    some: Tensor | None
    were: Tensor | None
    sums: Tensor | None
    weight: Any

    @classmethod
    def of(cls, weight: Tensor, ready: Any) -> "_Packed":
        """Note what `ready` was made of."""
        source, version = weight.detach(), _version(weight)
        if not weight.is_contiguous() or not weight.numel():
            return cls(source, version, None, None, None, None, ready)
        size = weight.shape[1] * weight.element_size()
        word = 8 if size % 8 == 0 else weight.element_size()
        words = source.view(WORDS[word])
        across = size // word
        most = min(len(weight), across)
        step = next(n for n in range(most, 0, -1) if math.gcd(n, across) == 1)
        some = words.flatten()[
            ::step
        ]  # meets every row, since it is no wider, and every column in turn
        return cls(source, version, words, some, some.clone(), words.sum(1), ready)

    def is_of(self, weight: Tensor, *, wholly: bool) -> bool:
        """Was it made of this tensor, and has that not been written to since?

        Args:
            weight: As it is now.
            wholly: Look at every number?
        """
        source = self.source
        same = source.data_ptr() == weight.data_ptr() and source.shape == weight.shape
        if not same or source.dtype != weight.dtype or self.version != _version(weight):
            return False
        if self.words is None or self.some is None or self.were is None or self.sums is None:
            return False
        if wholly:
            return torch.equal(self.words.sum(1), self.sums)
        return torch.equal(self.some, self.were)


def _version(weight: Tensor) -> int:
    return 0 if weight.is_inference() else weight._version


class _Straight(torch.autograd.Function):
    """The product in few bits, with the gradients of the one by the rounded weight."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any) -> Tensor:
        return layer.product(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, layer = inputs
        ctx.save_for_backward(x, weight)
        ctx.rounded = layer.rounded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        rows, grads_of = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        of_x, of_weight, of_bias = (ctx.needs_input_grad[i] for i in range(3))
        straight = weight + (ctx.rounded().to(weight.dtype) - weight).detach()
        return (
            (grad @ straight.to(grad.dtype)).to(x.dtype) if of_x else None,
            (grads_of.mT @ rows.to(grad.dtype)).to(weight.dtype) if of_weight else None,
            grads_of.sum(0).to(weight.dtype) if of_bias else None,
            None,
        )


@final
class LowPrecisionLinear(nn.Linear):
    """`nn.Linear` with products of bf16 or int8 numbers, in the dtype of what comes in.

    With int8 each row of the weight has a scale of its own, and so has each row that comes in:
    nobody's answer depends on who else is in the batch. The weight stays as it was and is what is
    trained and copied, and gradients pass the rounding as if it were not there. In training
    mode the layer multiplies by its rounded numbers at full precision; so it does in every mode
    where `torch.func`, forward-mode derivatives, tracing or export listen, and with int8 away from
    the CPU, where that saves nothing. In evaluation mode it multiplies in few bits, whether or not
    gradients are recorded. A row that holds NaN or inf gives NaN with int8, and no other row does.
    `curve` names what follows, number by number, where that is computed along with the product.

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
        time than before. A second weight of a half or a quarter of the size is held; of a layer
        that is compact, that one alone. Calls of 256 rows or more read the first to see that it is
        what it was; with fewer, that would take as long as the product, and numbers of every row
        and column stand for all: what is written past torch's counter, as by
        `weight.data[i, j] = x`, to single numbers is then seen later. Off the CPU bf16 rounds anew
        each time.
    """

    compact = False  # of its own only where it is so: whoever knows the layer sees the difference

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, precision: Precision
    ) -> None:
        super().__init__(in_features, out_features, bias)
        check_precision(precision)
        self.precision: Precision = precision
        self.curve: Curve | None = None
        self._packed: _Packed | None = None

    def __getattr__(self, name: str) -> Any:
        buffers = self.__dict__.get("_buffers", {})
        if name == "weight" and INT8 in buffers:
            return nn.Parameter(self._int8_weight().full(), requires_grad=False)
        return super().__getattr__(name)

    def take(self, weight: Tensor, scale: Tensor | None = None) -> None:
        """Hold the weight only as it multiplies: the layer then learns no more, until `widen`.

        Args:
            weight: In int8 or bf16, `(outs, ins)`.
            scale: What 1 stands for in each row of an int8 weight, `(outs,)`.
        """
        self.compact, self._packed = True, None
        self._parameters.pop("weight", None)
        if scale is None:
            self.weight = nn.Parameter(weight, requires_grad=False)
        else:
            self.register_buffer(INT8, weight)
            self.register_buffer(SCALE, scale)

    def widen(self) -> None:
        """Hold the weight in float32 again, so that the layer can learn; it says what it said."""
        if self.compact:
            weight = self.weight.detach().float()
            for name in (INT8, SCALE):
                self._buffers.pop(name, None)
            del self.compact
            self.weight = nn.Parameter(weight)

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        curve = "" if self.curve is None else f", curve={self.curve}"
        return f"{super().extra_repr()}, precision={self.precision}{curve}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_packed": None}

    def forward(self, input: Float[Tensor, "*batch ins"]) -> Float[Tensor, "*batch outs"]:
        """Multiply."""
        bias = cast(Tensor | None, self.bias)
        if self.training and self.compact:
            raise UnsupportedError(
                "a layer must hold its numbers in full to be trained, got one that keeps them in "
                f"{self.precision}: heedful.nn.widen(model) makes them float32"
            )
        if self.training or (self.precision == "int8" and not input.is_cpu) or _listened_to():
            weight = self.weight
            straight = weight + (self.rounded().to(weight.dtype) - weight).detach()
            return curved(functional.linear(input, straight, bias), self.curve)
        if torch.is_grad_enabled():
            return curved(_Straight.apply(input, self.weight, bias, self), self.curve)
        return self.product(input, self.curve)

    @torch.no_grad()
    def product(
        self, x: Float[Tensor, "*batch ins"], curve: Curve | None = None
    ) -> Float[Tensor, "*batch outs"]:
        """Multiply in few bits, without gradients; int8 on the CPU only."""
        return curved(self._bf16(x), curve) if self.precision == "bf16" else self._int8(x, curve)

    @torch.no_grad()
    def rounded(self) -> Float[Tensor, "outs ins"]:
        """Return the weight as it multiplies."""
        if self.precision == "bf16":
            return self.weight.bfloat16()
        step = steps_of(self.weight)
        return (self.weight / step).round() * step

    def _bf16(self, x: Tensor) -> Tensor:
        bias = cast(Tensor | None, self.bias)
        low = None if bias is None else bias.bfloat16()
        return functional.linear(x.bfloat16(), self._ready(x.numel() // self.in_features), low).to(
            x.dtype
        )

    def _int8(self, x: Tensor, curve: Curve | None) -> Tensor:
        rows = x.float().reshape(-1, self.in_features)
        made = self._ready(len(rows)).times(rows, self.bias, curve).to(x.dtype)
        return made.unflatten(0, x.shape[:-1]) if x.ndim > 1 else made[0]

    def _int8_weight(self) -> Int8Weight:
        whole, scale = self._buffers[INT8], self._buffers[SCALE]
        return Int8Weight(cast(Tensor, whole), cast(Tensor, scale).float())

    def _ready(self, rows: int) -> Any:
        if self.compact:
            return self._int8_weight() if self.precision == "int8" else self.weight.bfloat16()
        weight = self.weight
        if self.precision == "bf16" and not weight.is_cpu:
            return weight.detach().bfloat16()
        if self._packed is None or not self._packed.is_of(weight, wholly=rows >= MANY):
            ready = (
                weight.detach().bfloat16() if self.precision == "bf16" else Int8Weight.of(weight)
            )
            self._packed = _Packed.of(weight, ready)
        return self._packed.weight


def _listened_to() -> bool:
    """Does anybody record what is done who cannot see into products of few bits?"""
    return (
        torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        or forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]
        or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        or torch.compiler.is_exporting()
    )
