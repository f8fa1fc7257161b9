"""Low-rank attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.low_rank import low_rank_attention, low_rank_weights


@final
class LowRank(OpMechanism, attention=low_rank_attention, weights=low_rank_weights):
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

    def arguments(self) -> dict[str, Any]:
        return {"query_projection": self.query_projection, "key_projection": self.key_projection}
