"""Scaled dot-product attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


@final
class ScaledDot(Mechanism):
    """Score by `scale * query . key`; nothing is learned.

    The same as no mechanism in `heedful.nn.Attention`, where the scale need not be another.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
    """

    def __init__(self, *, heads: int, dim: int, scale: float | None = None) -> None:
        super().__init__(heads=heads, dim=dim)
        self.scale = scale

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return scaled_dot_attention(query, key, value, scale=self.scale, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return scaled_dot_weights(query, key, scale=self.scale, mask=mask)
