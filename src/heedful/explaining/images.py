"""An image as cells that can be removed."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REMOVAL = "filled with the mean colour of the image"
SIDE = 8  # cells of a side, where the model has no grid of its own


@dataclass(frozen=True)
class Cells:
    """An image, and the grid that it is cut into.

    Args:
        pixels: `(height, width, channels)` from 0 to 255.
        shape: Rows and columns of the grid; none is more than there are pixels.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]

    @property
    def names(self) -> tuple[str, ...]:
        """What each cell is called, line by line: its row and its column, counted from 1."""
        rows, columns = self.shape
        return tuple(f"{row + 1},{column + 1}" for row in range(rows) for column in range(columns))

    def of_pixels(self) -> NDArray[np.int64]:
        """Return the number of the cell of each pixel, `(height, width)`."""
        row, column = (
            np.arange(size) * count // size
            for size, count in zip(self.pixels.shape[:2], self.shape, strict=True)
        )
        return row[:, None] * self.shape[1] + column

    def kept(self, kept: Tensor) -> Tensor:
        """Return copies of the image, `(copies, channels, height, width)` from 0 to 255.

        Args:
            kept: `(copies, cells)`; where it is False, the cell has the mean colour of the image.
        """
        image = torch.from_numpy(self.pixels.astype(np.float32)).to(kept.device).permute(2, 0, 1)
        there = kept[:, torch.from_numpy(self.of_pixels()).to(kept.device)]
        return torch.where(there[:, None], image, image.mean((1, 2), keepdim=True))


def coarse(pixels: NDArray[np.uint8], side: int = SIDE) -> Cells:
    """Cut an image into `side x side` cells, or into its pixels where there are fewer."""
    height, width = pixels.shape[:2]
    return Cells(pixels, (min(side, height), min(side, width)))
