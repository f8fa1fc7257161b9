"""Where a model is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def device_of(model: "nn.Module") -> "torch.device":
    """Return where a model is; one without parameters is on the CPU."""
    import torch

    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device
