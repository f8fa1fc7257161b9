"""The linear layers of a module, also where it multiplies by their weights without calling them."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from heedful.allocation.adapters._transformers_layers import is_pointwise, is_transposed
from heedful.errors import UnsupportedError

Stand = Callable[[str, Tensor, Tensor], Tensor]


def is_layer(part: nn.Module) -> bool:
    """Is this a linear layer, whichever way round its weight stands, or one for every pixel?"""
    return isinstance(part, nn.Linear) or is_transposed(part) or is_pointwise(part)


def last(part: nn.Module, x: Tensor) -> Tensor:
    """Return what a layer gets or gives with its components in the last axis."""
    return x.movedim(1, -1) if is_pointwise(part) else x


def first(part: nn.Module, x: Tensor) -> Tensor:
    """Return such a tensor as the layer gets or gives it."""
    return x.movedim(-1, 1) if is_pointwise(part) else x


class Around(TorchFunctionMode):
    """Hears products with weights of layers that do not run, and biases that come from elsewhere.

    Args:
        layers: By path.
        running: Paths of the layers that run; what these multiply is theirs.
        stand: Is told a path, what its layer was given and what came of it; returns what shall
            stand in the place of that.
        added: Is told a path and a bias that is not the layer's own.
    """

    def __init__(
        self,
        layers: dict[str, nn.Module],
        running: set[str],
        stand: Stand,
        added: Callable[[str, Tensor], None],
    ) -> None:
        super().__init__()
        self.paths = {id(layer.weight): path for path, layer in layers.items()}
        self.layers, self.running, self.stand, self.added = layers, running, stand, added

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") != "linear":
            return result
        given, weight, bias = (
            args[place] if len(args) > place else kwargs.get(name)
            for place, name in enumerate(("input", "weight", "bias"))
        )
        path = self.paths.get(id(weight))
        if path is None or path in self.running:
            return result
        stands = self.stand(path, given, result)
        if bias is None or bias is self.layers[path].bias:
            return stands
        self.added(path, bias)
        return stands + bias


def rows_of_bias(path: str, bias: Tensor, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return to which row of a layer each number of its parts is added.

    Args:
        path: Of the layer.
        bias: What was added, as long as the layer has rows.
        own: What it may be made of, by name.

    Raises:
        UnsupportedError: It is made of something otherwise than number by number.
    """
    found: dict[str, Tensor] = {}
    if not bias.requires_grad:
        return found
    generator = torch.Generator().manual_seed(17)
    weights = torch.rand(bias.shape, generator=generator, dtype=bias.dtype) + 1
    gradients = cast(
        tuple[Tensor | None, ...],
        torch.autograd.grad(
            (bias * weights).sum(), list(own.values()), retain_graph=True, allow_unused=True
        ),
    )
    for name, gradient in zip(own, gradients, strict=True):
        if gradient is None:
            continue
        alike = gradient.flatten()[:, None] == weights[None]
        rows = alike.int().argmax(1)
        if gradient.ndim != 1 or not alike.any(1).all() or not (rows.diff() > 0).all():
            raise UnsupportedError(f"its {name} is added to its {path} in a way that cannot be cut")
        found[name] = rows
    return found
