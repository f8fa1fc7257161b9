"""Talking-heads attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.talking_heads import talking_heads_attention, talking_heads_weights


@final
class TalkingHeads(OpMechanism, attention=talking_heads_attention, weights=talking_heads_weights):
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

    def arguments(self) -> dict[str, Any]:
        return {"score_mix": self.score_mix, "weight_mix": self.weight_mix}
