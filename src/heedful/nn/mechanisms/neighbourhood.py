"""Neighbourhood attention as a mechanism."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.neighbourhood import neighbourhood_attention, neighbourhood_weights


@final
class Neighbourhood(Mechanism):
    """See the nearest places of a grid, equally many from everywhere.

    Without a `shape` the text is a grid of one axis, as long as it happens to be.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        window: Places met on each axis. Odd; one that is shorter is met as a whole.
        shape: Size of each axis of the grid; the last one runs fastest. `None`: one axis.

    Raises:
        ConfigError: An axis of the grid is below 1, or `window` has not one odd size per axis.

    Source:
        Hassani et al. 2022, arXiv:2204.07143.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        window: tuple[int, ...] = (7,),
        shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        self.window, self.shape = window, shape
        Mask.neighbourhood(self._grid(1), window)  # refuses what cannot be

    def forward(
        self,
        query: Float[Tensor, "batch heads places dim"],
        key: Float[Tensor, "batch kv_heads places dim"],
        value: Float[Tensor, "batch kv_heads places value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads places value_dim"]:
        shape = self._grid(key.shape[2])
        return neighbourhood_attention(
            query, key, value, shape=shape, window=self.window, mask=mask
        )

    def weights(
        self,
        query: Float[Tensor, "batch heads places dim"],
        key: Float[Tensor, "batch kv_heads places dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads places places"]:
        shape = self._grid(key.shape[2])
        return neighbourhood_weights(query, key, shape=shape, window=self.window, mask=mask)

    def _grid(self, places: int) -> tuple[int, ...]:
        return (places,) if self.shape is None else self.shape
