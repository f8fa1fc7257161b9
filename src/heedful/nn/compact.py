"""Models whose layers of few bits hold their weights only as they multiply, and back."""

import copy

import torch
from torch import Tensor, nn

from heedful.nn._int8 import Int8Weight
from heedful.nn.low_precision import INT8, SCALE, LowPrecisionLinear

ROUNDED = "the model holds its weights in few bits: it is changed and trained from rounded numbers"


def compact_weights(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return what layers of few bits multiply by, by the name of the layer and that of the tensor.

    Layers that share their weight with others are left out: those need all of it.

    Args:
        model: Never changed.

    Cost:
        Rounds each weight once: a quarter of its size with int8, a half with bf16.
    """
    return {name: _compact(layer) for name, layer in low_layers(model).items() if not layer.compact}


def low_layers(model: nn.Module) -> dict[str, LowPrecisionLinear]:
    """Return the layers of few bits whose weight is theirs alone, by their first names."""
    names: dict[int, int] = {}
    for part in model.modules():
        for parameter in part.parameters(recurse=False):
            names[id(parameter)] = names.get(id(parameter), 0) + 1
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, LowPrecisionLinear) and (layer.compact or names[id(layer.weight)] == 1)
    }


def room_of(layer: LowPrecisionLinear) -> dict[str, Tensor]:
    """Return tensors of the shapes and dtypes of what a layer multiplies by, without numbers."""
    shape = (layer.out_features, layer.in_features)
    if layer.precision == "bf16":
        return {"weight": torch.empty(shape, dtype=torch.bfloat16, device="meta")}
    return {
        INT8: torch.empty(shape, dtype=torch.int8, device="meta"),
        SCALE: torch.empty(shape[0], device="meta"),
    }


def widen(model: nn.Module) -> nn.Module:
    """Let all layers of a model hold their weights in float32 again; return it.

    It says what it said, and can be trained: but from rounded numbers, not from those that they
    were rounded from.

    Args:
        model: Changed in place.
    """
    for layer in model.modules():
        if isinstance(layer, LowPrecisionLinear):
            layer.widen()
    return model


def widened(model: nn.Module) -> nn.Module:
    """Return a model that can be changed and trained: itself, or a wide copy of a compact one."""
    return widen(copy.deepcopy(model)) if is_compact(model) else model


def is_compact(model: nn.Module) -> bool:
    """Does a layer of this model hold its weight only as it multiplies?"""
    return any(getattr(layer, "compact", False) is True for layer in model.modules())


def numbers_of(model: nn.Module) -> int:
    """Return how many numbers a model learned; shared ones count once."""
    learned = sum(parameter.numel() for parameter in model.parameters())
    held = (buffer for name, buffer in model.named_buffers() if name.endswith(INT8))
    return learned + sum(buffer.numel() for buffer in held)


@torch.no_grad()
def _compact(layer: LowPrecisionLinear) -> dict[str, Tensor]:
    weight = layer.weight
    if layer.precision == "bf16":
        return {"weight": weight.detach().bfloat16().contiguous()}
    found = Int8Weight.of(weight)
    return {INT8: found.whole.contiguous(), SCALE: found.steps}
