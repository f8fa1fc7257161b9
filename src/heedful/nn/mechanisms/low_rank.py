"""Low-rank attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.low_rank import low_rank_attention, low_rank_weights


@final
class LowRank(Mechanism):
    """Compare queries and keys in `rank` dimensions.

    Both projections start as the same orthonormal axes, so that scores start as those of a part
    of the space; `heedful.ops.low_rank.factorise` finds better ones for weights that are known.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        rank: Dimensions left, at most `dim`. `None` means half of them.

    Raises:
        ConfigError: `rank` is not in 1 to `dim`.

    Source:
        Bhojanapalli et al. 2020, arXiv:2002.07028 (what the rank of the scores limits).
    """

    def __init__(self, *, heads: int, dim: int, rank: int | None = None) -> None:
        super().__init__(heads=heads, dim=dim)
        rank = max(1, dim // 2) if rank is None else rank
        if not 1 <= rank <= dim:
            raise ConfigError(f"rank must be from 1 to {dim}, got {rank}")
        axes = torch.empty(heads, dim, rank)
        for head in axes:
            nn.init.orthogonal_(head)
        self.query_projection = nn.Parameter(axes)
        self.key_projection = nn.Parameter(axes.clone())

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return low_rank_attention(
            query,
            key,
            value,
            query_projection=self.query_projection,
            key_projection=self.key_projection,
            mask=mask,
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return low_rank_weights(
            query,
            key,
            query_projection=self.query_projection,
            key_projection=self.key_projection,
            mask=mask,
        )
