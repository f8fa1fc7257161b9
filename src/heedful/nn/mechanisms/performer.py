"""Performer attention as a mechanism."""

from typing import Any, final

import torch
from torch import Tensor

from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.performer import orthogonal_projection, performer_attention, performer_weights


@final
class Performer(OpMechanism, attention=performer_attention, weights=performer_weights):
    """Estimate softmax attention with random features, in linear time.

    The projection is drawn once, from `seed`, and saved with the module: the same text gets the
    same answer. Call `redraw` in training to draw another one, as the paper does.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        features: Random features for each head; more of them come nearer to the softmax.
        seed: Of the projection.

    Raises:
        ConfigError: `features` is below 1.

    Source:
        Choromanski et al. 2020, arXiv:2009.14794.
    """

    projection: Tensor

    def __init__(self, *, heads: int, dim: int, features: int = 128, seed: int = 0) -> None:
        super().__init__(heads=heads, dim=dim)
        self.features = features
        self.register_buffer("projection", self._draw(seed))

    def redraw(self, seed: int) -> None:
        """Draw another projection, in the place of the last one.

        Args:
            seed: Of the projection.
        """
        with torch.no_grad():
            self.projection.copy_(self._draw(seed))

    def arguments(self) -> dict[str, Any]:
        return {"projection": self.projection}

    def _draw(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return orthogonal_projection(self.features, self.dim, heads=self.heads, generator=generator)
