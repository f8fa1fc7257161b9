"""Layers of few bits as other programs know them: rounded numbers that multiply in full."""

from typing import cast

from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.errors import UnsupportedError
from heedful.exporting.int8_layer import Int8Linear
from heedful.kernels.linear.product import Curve, curved
from heedful.nn.compact import widened
from heedful.nn.low_precision import LowPrecisionLinear


class _Curved(nn.Linear):
    """A linear layer, and what follows it number by number."""

    curve: Curve | None = None

    def forward(self, input: Tensor) -> Tensor:
        return curved(super().forward(input), self.curve)


def in_full(model: nn.Module, *, int8: bool = False) -> tuple[nn.Module, list[str]]:
    """Return a copy without layers of few bits, and the names of those that there were.

    Their weights stay rounded; what comes in is rounded no more.

    Args:
        model: Never changed.
        int8: Leave out what multiplies in int8: that becomes an `Int8Linear`.

    Raises:
        UnsupportedError: With `int8`, that there is no such layer.
    """
    new = copied(widened(model)).eval()
    rounded: list[str] = []
    for name, layer in list(new.named_modules()):
        if not isinstance(layer, LowPrecisionLinear):
            continue
        if int8 and layer.precision == "int8":
            new.set_submodule(name, Int8Linear(layer))
        else:
            bias = cast(Tensor | None, layer.bias)
            kind = nn.Linear if layer.curve is None else _Curved
            plain = kind(layer.in_features, layer.out_features, bias is not None)
            if isinstance(plain, _Curved):
                plain.curve = layer.curve
            plain.weight.data = layer.rounded().to(layer.weight.dtype)
            if bias is not None:
                plain.bias.data = bias.data
            new.set_submodule(name, plain)
            rounded.append(name)
    if int8 and not any(isinstance(layer, Int8Linear) for layer in new.modules()):
        raise UnsupportedError(
            "a plan must have layers in int8 to be written with them, got none; onnx takes it"
        )
    return new, rounded
