"""Top-k attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.top_k import top_k_attention, top_k_weights


@final
class TopK(Mechanism):
    """Softmax over the largest scores of a query only.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        kept: How many keys a query keeps. At least 1.
        straight_through: Pass gradients back to the scores as if all keys had been kept?

    Raises:
        ConfigError: `kept < 1`.

    Source:
        Zhao et al. 2019, arXiv:1912.11637.
    """

    def __init__(
        self, *, heads: int, dim: int, kept: int = 8, straight_through: bool = False
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if kept < 1:
            raise ConfigError(f"kept must be at least 1, got {kept}")
        self.kept, self.straight_through = kept, straight_through

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return top_k_attention(
            query, key, value, kept=self.kept, straight_through=self.straight_through, mask=mask
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return top_k_weights(
            query, key, kept=self.kept, straight_through=self.straight_through, mask=mask
        )
