"""Talking-heads attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.talking_heads import talking_heads_attention, talking_heads_weights


@final
class TalkingHeads(Mechanism):
    """Let heads mix their scores before the softmax and their weights after it.

    Both mixes start as the identity, so that training starts from scaled dot-product attention. All
    heads must share one mask.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Shazeer et al. 2020, arXiv:2003.02436.

    Cost:
        Stores `queries x keys` numbers per head four times over.
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)
        self.score_mix = nn.Parameter(torch.eye(heads))
        self.weight_mix = nn.Parameter(torch.eye(heads))

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return talking_heads_attention(
            query,
            key,
            value,
            score_mix=self.score_mix,
            weight_mix=self.weight_mix,
            mask=mask,
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return talking_heads_weights(
            query,
            key,
            score_mix=self.score_mix,
            weight_mix=self.weight_mix,
            mask=mask,
        )
