"""Linear attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.linear import linear_attention, linear_weights


@final
class Linear(Mechanism):
    """Weigh by products of the features `elu(x) + 1`, in linear time; nothing to learn.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.

    Source:
        Katharopoulos et al. 2020, arXiv:2006.16236.
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
        return linear_attention(query, key, value, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return linear_weights(query, key, mask=mask)
