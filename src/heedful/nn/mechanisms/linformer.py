"""Linformer attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.linformer import linformer_attention, linformer_weights


@final
class Linformer(OpMechanism, attention=linformer_attention, weights=linformer_weights):
    """Mix all keys and values into `rank` of them, by learned projections along the text.

    The projections start as random numbers of such a size that a mixture is as large as one key.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        rank: Mixtures that a query meets.
        max_keys: The longest text.
        shared: Do all heads share one pair of projections?

    Raises:
        ConfigError: `rank` or `max_keys` is below 1.

    Source:
        Wang et al. 2020, arXiv:2006.04768.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        rank: int = 64,
        max_keys: int = 512,
        shared: bool = False,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if rank < 1 or max_keys < 1:
            raise ConfigError(f"rank and max_keys must be at least 1, got {rank=}, {max_keys=}")
        shape = (1 if shared else heads, rank, max_keys)
        self.key_projection = nn.Parameter(torch.empty(shape))
        self.value_projection = nn.Parameter(torch.empty(shape))
        for projection in (self.key_projection, self.value_projection):
            nn.init.normal_(projection, std=max_keys**-0.5)

    def arguments(self) -> dict[str, Any]:
        return {"key_projection": self.key_projection, "value_projection": self.value_projection}
