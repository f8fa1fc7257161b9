"""Batch norms right behind linear layers: in evaluation they are part of the layer."""

from typing import cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import fill, matrix
from heedful.allocation.adapters.heedful import exact
from heedful.allocation.adapters.structure.layers import is_layer

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d)


def norms_of(module: nn.Module) -> dict[str, str]:
    """Return the batch norms that stand behind a layer in the same module, by its path."""
    found: dict[str, str] = {}
    for path, part in module.named_modules():
        before = ""
        for name, child in part.named_children():
            where = f"{path}.{name}".lstrip(".")
            if before and _is_norm_of(child, len(matrix(module.get_submodule(before))[0])):
                found[before] = where
            before = where if is_layer(child) else ""
    return found


def _is_norm_of(part: nn.Module, width: int) -> bool:
    """Is this a batch norm of so many numbers that knows their statistics?"""
    if type(part) not in KINDS:
        return False
    norm = cast(nn.BatchNorm1d, part)
    return norm.track_running_stats and norm.num_features == width


def fold(module: nn.Module, norms: dict[str, str]) -> None:
    """Put norms into the layers before them, in place.

    Args:
        module: Changed.
        norms: Paths of norms by those of layers.
    """
    for path, norm in norms.items():
        weight, bias = behind(module.get_submodule(norm), *matrix(module.get_submodule(path)))
        fill(module.get_submodule(path), weight, bias)
        old = module.get_submodule(norm)
        module.set_submodule(norm, nn.Identity().train(old.training))


def behind(norm: nn.Module, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the weight and the bias of a layer with the norm behind it."""
    batch_norm = cast(nn.BatchNorm1d, norm)
    mean, variance = (
        exact(cast(Tensor, x)) for x in (batch_norm.running_mean, batch_norm.running_var)
    )
    factor = (variance + batch_norm.eps).rsqrt()
    if batch_norm.affine:
        factor = factor * exact(batch_norm.weight)
    bias = -mean * factor if bias is None else (bias - mean) * factor
    if batch_norm.affine:
        bias = bias + exact(batch_norm.bias)
    return weight * factor[:, None], bias


def disturb(module: nn.Module) -> None:
    """Give the norms of a scratch copy statistics that somebody would see."""
    generator = torch.Generator().manual_seed(19)
    for part in module.modules():
        if type(part) in KINDS and cast(nn.BatchNorm1d, part).track_running_stats:
            norm = cast(nn.BatchNorm1d, part)
            for name, more in (("running_mean", 0.0), ("running_var", 0.5)):
                old = cast(Tensor, getattr(norm, name))
                new = torch.rand(old.shape, generator=generator, dtype=old.dtype) + more
                setattr(norm, name, new)
