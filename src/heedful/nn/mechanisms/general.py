"""General attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.general import general_attention, general_weights


@final
class General(OpMechanism, attention=general_attention, weights=general_weights):
    """Score by `query . W key`, with one matrix `W` a head.

    `W` starts as the identity over `sqrt(dim)`, so that training starts from scaled dot products.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (general).
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)
        self.weight = nn.Parameter((torch.eye(dim) * dim**-0.5).repeat(heads, 1, 1))

    def arguments(self) -> dict[str, Any]:
        return {"weight": self.weight}
