"""Adaptive temperature as a mechanism."""

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.temperature import COEFFICIENTS, temperature_attention, temperature_weights


@final
class Temperature(Mechanism):
    """Sharpen weights that are spread out, as in texts longer than those of the training.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        coefficients: Of the polynomial from entropy to sharpness, the highest power first. The
            default was fitted to the model of the authors: fit your own.
        least_entropy: Up to this entropy, in nats, nothing changes.

    Raises:
        ConfigError: There are no coefficients.

    Source:
        Veličković et al. 2024, arXiv:2410.01104.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        coefficients: Sequence[float] = COEFFICIENTS,
        least_entropy: float = 0.5,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if not len(coefficients):
            raise ConfigError("coefficients must have at least one entry, got none")
        self.coefficients, self.least_entropy = tuple(coefficients), least_entropy

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return temperature_attention(
            query,
            key,
            value,
            coefficients=self.coefficients,
            least_entropy=self.least_entropy,
            mask=mask,
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return temperature_weights(
            query, key, coefficients=self.coefficients, least_entropy=self.least_entropy, mask=mask
        )
