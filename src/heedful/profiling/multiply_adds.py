"""How many multiply-adds torch computes, counted while it computes them.

torch's own counter also notes which module is at work. That fails where a module is called with a
view of a parameter and nothing is learned (`Expected gradient function to be set`), and it counts
nothing of fused attention on a CPU.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# fused attention that torch has no formula for
ATTENTION = ("heedful::attend", "aten::_scaled_dot_product_flash_attention_for_cpu")


def _recurrence(x: Tensor, weights: Sequence[Tensor]) -> int:
    """Every step multiplies with every matrix once."""
    steps = x.numel() // max(1, x.shape[-1])
    return steps * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _trilinear(args: tuple[Any, ...]) -> int:
    """Of `x_i W_ij y_j`: all that is multiplied with the weight."""
    tensors = [
        reduce(Tensor.unsqueeze, sorted(axes), x)
        for x, axes in zip(args[:3], args[3:6], strict=True)
    ]
    return prod(torch.broadcast_shapes(*(x.shape for x in tensors)))


# products that torch has no formula for either: arguments to multiply-adds
PRODUCTS: Mapping[str, Callable[[tuple[Any, ...]], int]] = {
    "aten::mv": lambda args: args[0].numel(),
    "aten::addmv": lambda args: args[1].numel(),
    "aten::dot": lambda args: args[0].numel(),
    "aten::vdot": lambda args: args[0].numel(),
    "aten::_trilinear": _trilinear,
    "aten::mkldnn_rnn_layer": lambda args: _recurrence(args[0], args[1:5]),
    "aten::_cudnn_rnn": lambda args: _recurrence(args[0], args[1]),
}


class MultiplyAdds(TorchDispatchMode):
    """Adds up multiply-adds while it is entered: of products, convolutions, recurrences and
    attention, and of sums of products that are written out.

    Whatever is multiplied and summed up counts, whether or not a mask hides it. Layers that torch
    fuses whole must be switched off meanwhile: no formula knows them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.product: Callable[[], Tensor | None] = lambda: None

    def counts(self) -> bool:
        """Does what is computed now count?"""
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self.counts():
            return func(*args, **kwargs)
        name = func.name().partition(".")[0]
        if func._overloadpacket not in flop_registry and name not in ATTENTION:
            with self:
                parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
        result = func(*args, **kwargs)
        self._add(name, func, args, kwargs, result)
        return result

    def _add(self, name: str, func: Any, args: tuple[Any, ...], kwargs: Any, result: Any) -> None:
        if name in ATTENTION:
            (batch, heads, queries, dim), value = args[0].shape, args[2].shape
            self.macs += batch * heads * queries * value[2] * (dim + value[3])
        elif func._overloadpacket in flop_registry:
            formula = flop_registry[func._overloadpacket]
            self.macs += int(formula(*args, **kwargs, out_val=result)) // 2
        elif name in PRODUCTS:
            self.macs += PRODUCTS[name](args)
        elif name == "aten::sum" and args[0] is self.product():
            self.macs += args[0].numel()  # of products that were written out, as additive scores
        if name == "aten::mul":
            self.product = weakref.ref(result)
