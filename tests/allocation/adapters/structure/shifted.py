"""Attention as in the Swin of torchvision: in a function that is given weights, and no layers."""

import torch
from torch import nn
from torch.nn import functional

HEADS, DIM = 3, 4
WIDTH = HEADS * DIM
SIDE = 3  # of a window


def attend(x, qkv_weight, proj_weight, added, num_heads, *, qkv_bias=None, proj_bias=None):
    """Attend within windows, shifted by one; images need not be whole windows."""
    B, H, W, C = x.shape
    padded = functional.pad(x, (0, 0, 0, -W % SIDE, 0, -H % SIDE))
    rows, columns = (size // SIDE for size in padded.shape[1:3])
    padded = torch.roll(padded, (-1, -1), (1, 2))
    windows = padded.view(B, rows, SIDE, columns, SIDE, C)
    windows = windows.permute(0, 1, 3, 2, 4, 5).reshape(B * rows * columns, SIDE * SIDE, C)
    qkv = functional.linear(windows, qkv_weight, qkv_bias)
    qkv = qkv.reshape(len(windows), SIDE * SIDE, 3, num_heads, C // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q * (C // num_heads) ** -0.5 @ k.mT + added
    mixed = functional.softmax(scores, dim=-1) @ v
    mixed = mixed.transpose(1, 2).reshape(len(windows), SIDE * SIDE, C)
    mixed = functional.linear(mixed, proj_weight, proj_bias)
    mixed = mixed.view(B, rows, columns, SIDE, SIDE, C).permute(0, 1, 3, 2, 4, 5)
    mixed = torch.roll(mixed.reshape(B, rows * SIDE, columns * SIDE, C), (1, 1), (1, 2))
    return mixed[:, :H, :W].contiguous()


class Shifted(nn.Module):
    """Hands its weights to the function."""

    def __init__(self):
        super().__init__()
        self.num_heads = HEADS
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.table = nn.Parameter(torch.empty(7, HEADS))
        self.register_buffer("index", torch.arange(SIDE**4) % 7)

    def forward(self, x):
        added = self.table[self.index].view(SIDE**2, SIDE**2, -1).permute(2, 0, 1)[None]
        return attend(
            x,
            self.qkv.weight,
            self.proj.weight,
            added,
            self.num_heads,
            qkv_bias=self.qkv.bias,
            proj_bias=self.proj.bias,
        )


attend.__module__ = "torchvision.models.swin_transformer"  # as its class will say
