"""Sparsemax attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.sparsemax import sparsemax_attention, sparsemax_weights


@final
class Sparsemax(Mechanism):
    """Weights most of which are exactly 0; nothing to learn or to set.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Martins and Astudillo 2016, arXiv:1602.02068.
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
        return sparsemax_attention(query, key, value, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return sparsemax_weights(query, key, mask=mask)
