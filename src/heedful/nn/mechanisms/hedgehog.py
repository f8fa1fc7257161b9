"""Hedgehog attention as a mechanism."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.hedgehog import hedgehog_attention, hedgehog_weights


@final
class Hedgehog(Mechanism):
    """Weigh by products of learned features, in linear time.

    The two maps start as the identity, cut or filled up with zeros where `features` is not `dim`.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        features: Columns of a map; there are twice as many features. `None` means `dim`.

    Raises:
        ConfigError: `features` is below 1.

    Source:
        Zhang et al. 2024, arXiv:2402.04347.
    """

    def __init__(self, *, heads: int, dim: int, features: int | None = None) -> None:
        super().__init__(heads=heads, dim=dim)
        features = dim if features is None else features
        if features < 1:
            raise ConfigError(f"features must be at least 1, got {features}")
        start = torch.eye(dim, features).expand(heads, -1, -1)
        self.query_map, self.key_map = nn.Parameter(start.clone()), nn.Parameter(start.clone())

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return hedgehog_attention(
            query, key, value, query_map=self.query_map, key_map=self.key_map, mask=mask
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return hedgehog_weights(
            query, key, query_map=self.query_map, key_map=self.key_map, mask=mask
        )
