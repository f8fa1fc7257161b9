"""Copies of a model that hold what they have in common with it once."""

import torch
from torch import nn


@torch.no_grad()
def share_weights(model: nn.Module, original: nn.Module) -> nn.Module:
    """Let a copy read the parameters that are as the original's from there; return the copy.

    Whoever trains it must copy it first, or both learn.

    Args:
        model: Changed in place; says what it said.
        original: With the same names for what is the same.

    Cost:
        Compares every number that may be shared once.
    """
    known = dict(original.named_parameters())
    for name, own in model.named_parameters():
        other = known.get(name)
        if other is not None and _same(own, other):
            own.data = other.data
    return model


def _same(one: nn.Parameter, other: nn.Parameter) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
    return alike and one.layout == other.layout == torch.strided and torch.equal(one, other)
