"""Block-sparse attention with a fixed pattern as a mechanism."""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights


@final
class BlockSparse(Mechanism):
    """Read the first blocks of keys, and those around the query's own place.

    The last query stands at the last key. For lists of blocks that are chosen by content, call
    `heedful.ops.block_sparse_attention` with them.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        block: Positions per block. At least 1.
        sinks: First blocks of keys that every query reads.
        near: Blocks read on either side of those in which the queries of a block stand.

    Raises:
        ConfigError: `block < 1`, `sinks < 0` or `near < 0`.

    Source:
        Zaheer et al. 2020, arXiv:2007.14062, appendix D (window and global blocks; without its
        random ones).
    """

    def __init__(
        self, *, heads: int, dim: int, block: int = 64, sinks: int = 1, near: int = 1
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(block=block)
        if sinks < 0 or near < 0:
            raise ConfigError(f"sinks and near must not be negative, got {sinks=}, {near=}")
        self.block, self.sinks, self.near = block, sinks, near

    def blocks(
        self, queries: int, keys: int, *, device: torch.device | None = None
    ) -> Bool[Tensor, "1 1 query_blocks key_blocks"]:
        """Return which block of queries reads which block of keys."""
        start = torch.arange(0, queries, self.block, device=device)[:, None]
        first = (start + keys - queries).div(self.block, rounding_mode="floor")
        last = (start + self.block - 1).clamp(max=queries - 1) + keys - queries
        last = last.div(self.block, rounding_mode="floor")
        block = torch.arange(-(-keys // self.block), device=device)
        near = (block >= first - self.near) & (block <= last + self.near)
        return (near | (block < self.sinks))[None, None]

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        blocks = self.blocks(query.shape[2], key.shape[2], device=query.device)
        return block_sparse_attention(query, key, value, blocks=blocks, block=self.block, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        blocks = self.blocks(query.shape[2], key.shape[2], device=query.device)
        return block_sparse_weights(query, key, blocks=blocks, block=self.block, mask=mask)
