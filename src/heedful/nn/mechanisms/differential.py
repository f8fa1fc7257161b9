"""Differential attention as a mechanism."""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops._softmax import widen
from heedful.ops.differential import differential_attention, differential_weights

SPREAD = 0.1  # of the four vectors at the start, and
TINY = 1e-5  # what the mean square is raised by, both as in the authors' code


@final
class Differential(Mechanism):
    """Take a share `lambda` of a second map of weights off the first, and norm what comes out.

    `lambda = exp(q1 . k1) - exp(q2 . k2) + start` with four learned vectors, shared by the heads,
    and `start = 0.8 - 0.6 exp(-0.3 depth)`. The output of a head is divided by its root mean
    square, times a learned gain, times `1 - start`; `weights() @ value` is what it was before that.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys. Even: a half for each map.
        depth: How many layers stand before this one.

    Raises:
        ConfigError: `dim` is odd or `depth` is negative.
        ShapeError: `value_dim` is not `dim`, which the gain is made for.

    Source:
        Ye et al. 2024, arXiv:2410.05258, section 2.1.

    Cost:
        Stores `queries x keys` scores per head twice.
    """

    def __init__(self, *, heads: int, dim: int, depth: int = 0) -> None:
        super().__init__(heads=heads, dim=dim)
        if dim % 2:
            raise ConfigError(f"dim must be even because it is halved, got {dim}")
        if depth < 0:
            raise ConfigError(f"depth must not be negative, got {depth}")
        self.start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        self.query1 = nn.Parameter(torch.randn(dim // 2) * SPREAD)
        self.key1 = nn.Parameter(torch.randn(dim // 2) * SPREAD)
        self.query2 = nn.Parameter(torch.randn(dim // 2) * SPREAD)
        self.key2 = nn.Parameter(torch.randn(dim // 2) * SPREAD)
        self.gain = nn.Parameter(torch.ones(dim))

    def subtracted(self) -> Float[Tensor, " heads"]:
        """Return `lambda`, the same for every head, in float32 at least."""
        first = (widen(self.query1) * widen(self.key1)).sum().exp()
        second = (widen(self.query2) * widen(self.key2)).sum().exp()
        return (first - second + self.start).expand(self.heads)

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        if value.shape[-1] != self.dim:
            raise ShapeError(f"value must have dim {self.dim} like the gain, got {value.shape[-1]}")
        mixed = differential_attention(
            widen(query), key, value, subtracted=self.subtracted(), mask=mask
        )
        return self.finish(mixed).to(query.dtype)

    def finish(
        self, mixed: Float[Tensor, "batch heads queries dim"]
    ) -> Float[Tensor, "batch heads queries dim"]:
        normed = rms_norm(mixed, (self.dim,), self.gain.to(mixed.dtype), TINY)
        return normed * (1 - self.start)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return differential_weights(query, key, subtracted=self.subtracted(), mask=mask)
