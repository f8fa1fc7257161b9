"""Attention of channels, as XCiT and DaViT write it: components look at each other."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

HEADS, DIM = 3, 4
WIDTH = HEADS * DIM


class CrossCovariance(nn.Module):
    """Normalised over places, with a learned factor for each head."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.fused_attn = HEADS, True
        self.temperature = nn.Parameter(torch.empty(HEADS, 1, 1))
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 4, 1).unbind(0)
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        if self.fused_attn:
            mixed = scaled_dot_product_attention(q * self.temperature, k, v, scale=1.0)
        else:
            mixed = (q @ k.mT * self.temperature).softmax(-1) @ v
        return self.proj(mixed.permute(0, 3, 1, 2).reshape(B, N, C))


class Channels(nn.Module):
    """What it calls keys look, at what it calls values, and mix what it calls queries."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.scale = HEADS, DIM**-0.5
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((k * self.scale).mT @ v).softmax(dim=-1)
        mixed = (weights @ q.mT).mT
        return self.proj(mixed.transpose(1, 2).reshape(B, N, C))
