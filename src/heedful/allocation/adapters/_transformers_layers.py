"""The linear layers of transformers, whichever way round their weights stand."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.heedful import exact
from heedful.nn.low_precision import LowPrecisionLinear


def matrix(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return the weight of a layer, a row for every number that comes out, and its bias."""
    linear = cast(nn.Linear, layer)
    weight, bias = exact(linear.weight), cast(Tensor | None, linear.bias)
    weight = weight.flatten(1) if is_pointwise(layer) else weight
    return weight.T if is_transposed(layer) else weight, None if bias is None else exact(bias)


def joined(biases: list[Tensor | None], weights: list[Tensor]) -> Tensor | None:
    """Return the biases of parts of a layer behind one another; `None` where there are none."""
    if all(bias is None for bias in biases):
        return None
    pairs = zip(biases, weights, strict=True)
    return torch.cat([w.new_zeros(len(w)) if b is None else b.flatten() for b, w in pairs])


def fill(layer: Any, weight: Tensor, bias: Tensor | None) -> None:
    """Give a layer a weight of any size; a bias that it has stays, if only as zeros."""
    outs, ins = weight.shape
    like = layer.weight
    transposed, pointwise = is_transposed(layer), is_pointwise(layer)
    if bias is None and layer.bias is not None:
        bias = weight.new_zeros(outs)
    shaped = weight[..., None, None] if pointwise else weight
    layer.weight = parameter(weight.T if transposed else shaped, like)
    if bias is not None:
        layer.bias = parameter(bias, like if layer.bias is None else layer.bias)
    names = ("nf", "nx") if transposed else ("out_features", "in_features")
    names = ("out_channels", "in_channels") if pointwise else names
    for name, size in zip(names, (outs, ins), strict=True):
        setattr(layer, name, size)


def parameter(tensor: Tensor, like: Tensor) -> nn.Parameter:
    """Return a parameter of these numbers that is otherwise like another."""
    return nn.Parameter(
        tensor.to(device=like.device, dtype=like.dtype).clone(
            memory_format=torch.contiguous_format
        ),
        requires_grad=like.requires_grad,
    )


def why_uncuttable(layer: nn.Module) -> str | None:
    """Say why no rows can be cut out of a projection; `None` where they can."""
    if type(layer) in (nn.Linear, LowPrecisionLinear) or is_transposed(layer):
        return None
    if is_pointwise(layer):
        return None
    return f"a {type(layer).__name__}, which cannot be cut"


def is_transposed(layer: nn.Module) -> bool:
    """Is this the linear layer of GPT-2, whose weight stands the other way round?"""
    kind = type(layer)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")


def is_pointwise(layer: nn.Module) -> bool:
    """Is this a convolution that sees one pixel, and so a linear layer with components first?"""
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or layer.padding_mode != "zeros":
        return False
    return layer.kernel_size == layer.stride == (1, 1) and layer.padding in ((0, 0), "valid")
