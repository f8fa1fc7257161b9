"""Block-wise attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.blockwise import blockwise_attention, blockwise_weights


@final
class Blockwise(Mechanism):
    """Exactly scaled dot-product attention, in memory linear in the length, also for the gradient.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        block: Queries, and keys, per block. At least 1.

    Raises:
        ConfigError: `block < 1`.

    Source:
        Rabe et al. 2021, arXiv:2112.05682.
    """

    def __init__(self, *, heads: int, dim: int, block: int = 512) -> None:
        super().__init__(heads=heads, dim=dim)
        if block < 1:
            raise ConfigError(f"block must be at least 1, got {block}")
        self.block = block

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return blockwise_attention(query, key, value, block=self.block, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return blockwise_weights(query, key, block=self.block, mask=mask)
