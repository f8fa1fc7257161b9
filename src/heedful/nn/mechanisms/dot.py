"""Dot-product attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.dot import dot_attention, dot_weights


@final
class Dot(Mechanism):
    """Score by `query . key`; nothing is learned.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot).
    """

    def __init__(self, *, heads: int, dim: int) -> None:
        super().__init__(heads=heads, dim=dim)

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return dot_attention(query, key, value, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return dot_weights(query, key, mask=mask)
