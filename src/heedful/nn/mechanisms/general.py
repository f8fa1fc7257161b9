"""General attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.general import general_attention, general_weights


@final
class General(Mechanism):
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

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return general_attention(query, key, value, weight=self.weight, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return general_weights(query, key, weight=self.weight, mask=mask)
