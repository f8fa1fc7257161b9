"""Concat attention as a mechanism."""

from typing import Any, final

import torch
from torch import nn

from heedful.nn._settings import check_sizes
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.concat import concat_attention, concat_weights


@final
class Concat(OpMechanism, attention=concat_attention, weights=concat_weights):
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
        check_sizes(hidden=hidden)
        width = (2 * dim) ** -0.5
        self.query_weight = nn.Parameter(torch.randn(heads, hidden, dim) * width)
        self.key_weight = nn.Parameter(torch.randn(heads, hidden, dim) * width)
        self.score_weight = nn.Parameter(torch.randn(heads, hidden) * hidden**-0.5)

    def arguments(self) -> dict[str, Any]:
        return {
            "query_weight": self.query_weight,
            "key_weight": self.key_weight,
            "score_weight": self.score_weight,
        }
