"""Concat attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.concat import concat_attention, concat_weights


@final
class Concat(Mechanism):
    """Score by `v . tanh(W [query; key])`, with `W` and `v` of its own for every head.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        hidden: Rows of `W`. `None` means `dim`.

    Raises:
        ConfigError: `hidden` is below 1.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (concat).

    Cost:
        Stores `queries x keys x hidden` numbers per head.
    """

    def __init__(self, *, heads: int, dim: int, hidden: int | None = None) -> None:
        super().__init__(heads=heads, dim=dim)
        hidden = dim if hidden is None else hidden
        if hidden < 1:
            raise ConfigError(f"hidden must be at least 1, got {hidden}")
        width = (2 * dim) ** -0.5
        self.query_weight = nn.Parameter(torch.randn(heads, hidden, dim) * width)
        self.key_weight = nn.Parameter(torch.randn(heads, hidden, dim) * width)
        self.score_weight = nn.Parameter(torch.randn(heads, hidden) * hidden**-0.5)

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return concat_attention(
            query,
            key,
            value,
            query_weight=self.query_weight,
            key_weight=self.key_weight,
            score_weight=self.score_weight,
            mask=mask,
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return concat_weights(
            query,
            key,
            query_weight=self.query_weight,
            key_weight=self.key_weight,
            score_weight=self.score_weight,
            mask=mask,
        )
