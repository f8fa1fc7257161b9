"""Attention with a sink as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.sink import sink_attention, sink_weights


@final
class Sink(OpMechanism, attention=sink_attention, weights=sink_weights):
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

    def arguments(self) -> dict[str, Any]:
        return {"sink": self.sink}
