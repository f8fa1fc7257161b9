"""Additive attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.additive import additive_attention, additive_weights


@final
class Additive(Mechanism):
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

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return additive_attention(query, key, value, score_weight=self.score_weight, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return additive_weights(query, key, score_weight=self.score_weight, mask=mask)
