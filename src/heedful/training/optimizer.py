"""What turns gradients into steps."""

import torch
from torch import nn

from heedful.config.base import Train


def adamw(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """Return AdamW; matrices decay, biases and norms do not.

    Source:
        Loshchilov and Hutter 2017, arXiv:1711.05101.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.learning_rate, betas=(0.9, 0.98), fused=True)
