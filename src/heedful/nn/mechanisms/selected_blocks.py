"""Block-sparse attention with blocks that are chosen by content as a mechanism."""

from math import gcd
from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.selection.select import select_blocks

STRIDE = 16  # positions per cell of the estimate, where the block is a multiple of it


@final
class SelectedBlocks(Mechanism):
    """Read the blocks of keys that carry most of the attention, by an estimate made in each call.

    Short texts, a few queries and `share = 1` are plain attention, exactly. What a block of queries
    reads is decided by all of them together: under a causal mask a later query may change which
    blocks an earlier one of its block reads, though never that it sees no later key. So one pass
    over a text and step-by-step decoding, which reads all keys, do not give the same.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        share: Of the estimated attention, how much to reach; above 0 and at most 1.
        block: Positions per block. With a multiple of 16 the estimate is cheapest.
        least: Fewest blocks of keys among which it chooses.

    Raises:
        ConfigError: `share` is not above 0 and at most 1, `block < 1` or `least < 1`.

    Source:
        Xu et al. 2025, arXiv:2503.16428.

    Cost:
        That of `select_blocks`, and of `block_sparse_attention` with what it chooses. No gradient
        goes through the choice.
    """

    def __init__(
        self, *, heads: int, dim: int, share: float = 0.9, block: int = 64, least: int = 24
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if not 0 < share <= 1:
            raise ConfigError(f"share must be above 0 and at most 1, got {share}")
        check_sizes(block=block, least=least)
        self.share, self.block, self.least = share, block, least

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        blocks = self.blocks(query, key, mask=mask)
        if blocks is None:
            return scaled_dot_attention(query, key, value, mask=mask)
        return block_sparse_attention(query, key, value, blocks=blocks, block=self.block, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        blocks = self.blocks(query, key, mask=mask)
        if blocks is None:
            return scaled_dot_weights(query, key, mask=mask)
        return block_sparse_weights(query, key, blocks=blocks, block=self.block, mask=mask)

    def blocks(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Tensor | None:
        """Return which block of queries reads which block of keys; `None`: plain attention is it.

        Keys that the mask hides from all queries are taken as 0, so that padding decides nothing.
        """
        if query.ndim != 4 or key.ndim != 4 or self.share == 1:
            return None  # plain attention says what is wrong with the tensors
        (batch, heads, queries, _), keys = query.shape, key.shape[2]
        if queries < self.block or keys <= self.block * (self.least - 1):
            return None
        if mask is not None:
            parts = mask.factors(queries, keys, batch=batch, heads=heads, device=query.device)
            if parts is not None and parts.keys is not None:
                there = parts.keys.any(1, keepdim=True)[..., None]
                key = key.masked_fill(~there, 0.0)
        return select_blocks(
            query,
            key,
            block=self.block,
            coverage=self.share,
            stride=gcd(self.block, STRIDE),
            mask=mask,
        )
