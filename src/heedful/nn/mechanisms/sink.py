"""Attention with a sink as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.sink import sink_attention, sink_weights


@final
class Sink(Mechanism):
    """A query may give part of its weight to no key at all.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        learned: Learn the score of each head's sink, starting from 0? Otherwise it stays 0, which
            is "softmax off by one".

    Source:
        Miller 2023, "Attention Is Off By One". Xiao et al. 2023, arXiv:2309.17453.
    """

    def __init__(self, *, heads: int, dim: int, learned: bool = True) -> None:
        super().__init__(heads=heads, dim=dim)
        self.sink = nn.Parameter(torch.zeros(heads)) if learned else None

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return sink_attention(query, key, value, sink=self.sink, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return sink_weights(query, key, sink=self.sink, mask=mask)
