"""Layers of few bits as other programs know them: rounded numbers that multiply in full."""

from typing import cast

from torch import Tensor, nn

from heedful.allocation.attached import copied
from heedful.nn.low_precision import LowPrecisionLinear


def in_full(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """Return a copy without layers of few bits, and the names of those that there were.

    Their weights stay rounded; what comes in is rounded no more.
    """
    new = copied(model).eval()
    rounded: list[str] = []
    for name, layer in list(new.named_modules()):
        if isinstance(layer, LowPrecisionLinear):
            bias = cast(Tensor | None, layer.bias)
            plain = nn.Linear(layer.in_features, layer.out_features, bias is not None)
            plain.weight.data = layer.rounded().to(layer.weight.dtype)
            if bias is not None:
                plain.bias.data = bias.data
            new.set_submodule(name, plain)
            rounded.append(name)
    return new, rounded
