"""Hedgehog attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.hedgehog import hedgehog_attention, hedgehog_weights


@final
class Hedgehog(OpMechanism, attention=hedgehog_attention, weights=hedgehog_weights):
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
        check_sizes(features=features)
        start = torch.eye(dim, features).expand(heads, -1, -1)
        self.query_map, self.key_map = nn.Parameter(start.clone()), nn.Parameter(start.clone())

    def arguments(self) -> dict[str, Any]:
        return {"query_map": self.query_map, "key_map": self.key_map}
