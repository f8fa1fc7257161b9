"""Additive attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.additive import additive_attention, additive_weights


@final
class Additive(OpMechanism, attention=additive_attention, weights=additive_weights):
    """Score by `v . tanh(query + key)`, with one vector `v` a head.

    The projections of the paper are those of `heedful.nn.Attention`.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.

    Cost:
        Stores `queries x keys x dim` numbers per head: `dim` times what dot products store.
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)
        self.score_weight = nn.Parameter(torch.randn(heads, dim) * dim**-0.5)

    def arguments(self) -> dict[str, Any]:
        return {"score_weight": self.score_weight}
