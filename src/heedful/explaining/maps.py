"""What a method says: a number for each piece and target."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Maps(NamedTuple):
    """How much each piece of an input counts for each target.

    Args:
        weights: `(targets, pieces)`; signed where the method tells for from against.
        error: The largest error of the maps of attention it was made of; 0 where it was made of
            none, `None` where that cannot be told.
    """

    weights: NDArray[np.float64]
    error: float | None = 0.0

    @classmethod
    def of(cls, weights: Tensor, error: float | None = 0.0) -> "Maps":
        """Take a tensor."""
        return cls(weights.detach().double().cpu().numpy(), error)
