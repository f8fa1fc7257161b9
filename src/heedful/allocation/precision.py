"""In which precision linear layers multiply: of a site of any library, or of a whole model."""

import torch
from torch import nn

from heedful.allocation.curves import fuse_curves
from heedful.nn.low_precision import LowPrecisionLinear, Precision

# narrower layers gain nothing from fewer bits, one by one (`benchmarks/low_precision.py`)
WIDE = 256
# in a model that runs in one native call they do, down to here (`benchmarks/writing.py`)
NARROW = 32


def precision_of(module: nn.Module) -> Precision | None:
    """Return in what the layers of a site multiply; `None` means the dtype of the model."""
    lowered = (part for part in module.modules() if isinstance(part, LowPrecisionLinear))
    return next((part.precision for part in lowered), None)


def why_not_lowered(module: nn.Module) -> str | None:
    """Say why the layers of a site cannot multiply in few bits; `None` where they can."""
    if not any(isinstance(part, nn.Linear) for part in module.modules()):
        return f"a {type(module).__name__} has no nn.Linear to multiply in few bits"
    return None


def lower_wide(model: nn.Module, precision: Precision, *, narrowest: int) -> None:
    """Let all wide linear layers of a model multiply so, with the parameters that they have.

    What follows an int8 layer number by number is computed with it: see `fuse_curves`.

    Args:
        model: Changed in place.
        precision: Of the products.
        narrowest: Wide is what has at least so many inputs and outputs: what ends in few numbers,
            as a head that classifies, stays exact.
    """
    for name, layer in list(model.named_modules()):
        if name and type(layer) is nn.Linear and min(layer.weight.shape) >= narrowest:
            model.set_submodule(name, _with_parameters_of(layer, precision))
    if precision == "int8":
        fuse_curves(model)


def wide_layers(model: nn.Module, *, narrowest: int) -> int:
    """Return how many layers of a model `lower_wide` would change."""
    layers = (layer for layer in model.modules() if type(layer) is nn.Linear)
    return sum(min(layer.weight.shape) >= narrowest for layer in layers)


def lower(module: nn.Module, precision: Precision | None) -> None:
    """Let all linear layers inside a site multiply so, with the parameters that they have."""
    for name, layer in list(module.named_modules()):
        if type(layer) is nn.Linear or isinstance(layer, LowPrecisionLinear):
            if getattr(layer, "precision", None) != precision:
                module.set_submodule(name, _with_parameters_of(layer, precision))


def _with_parameters_of(layer: nn.Linear, precision: Precision | None) -> nn.Linear:
    ins, outs = layer.in_features, layer.out_features
    with torch.device("meta"):  # where nothing is drawn
        if precision is None:
            new = nn.Linear(ins, outs)
        else:
            new = LowPrecisionLinear(ins, outs, precision=precision)
    new.weight, new.bias = layer.weight, layer.bias
    return new.train(layer.training)
