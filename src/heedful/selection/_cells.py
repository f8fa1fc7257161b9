"""An axis of positions cut into cells of equal width, the last of which may be cut short."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cells:
    """The positions `0` to `length - 1` in cells of `width`."""

    length: int
    width: int

    @property
    def count(self) -> int:
        """Number of cells."""
        return -(-self.length // self.width)

    @property
    def left(self) -> int:
        """Positions of the last cell where it is cut short, else 0."""
        return self.length % self.width

    def stop(self, cell: int) -> int:
        """The position behind those of all cells before this one."""
        return min(cell * self.width, self.length)

    def first(self, cells: slice, device: torch.device) -> Tensor:
        """The first position of each of these cells."""
        return torch.arange(cells.start, cells.stop, device=device) * self.width

    def last(self, cells: slice, device: torch.device) -> Tensor:
        """The last position of each of these cells."""
        return (self.first(cells, device) + self.width - 1).clamp(max=self.length - 1)

    def sizes(self, cells: slice, device: torch.device) -> Tensor:
        """How many positions each of these cells holds."""
        return self.last(cells, device) - self.first(cells, device) + 1

    def cut(self, tensor: Tensor) -> Tensor:
        """`(batch, heads, length, dim)` to `(batch, heads, count, width, dim)`.

        A cell that is cut short holds its own positions over and over, so that nothing foreign gets
        in: padding would.
        """
        if self.left:
            whole = self.length - self.left
            places = whole + torch.arange(self.width, device=tensor.device) % self.left
            tensor = torch.cat((tensor[:, :, :whole], tensor[:, :, places]), 2)
        return tensor.unflatten(2, (self.count, self.width))

    def means(self, tensor: Tensor) -> Tensor:
        """`(batch, heads, length, dim)` to the mean of every cell, `(batch, heads, count, dim)`."""
        whole = self.length - self.left
        parts = [tensor[:, :, :whole].unflatten(2, (-1, self.width)).mean(3)] if whole else []
        if self.left:
            parts.append(tensor[:, :, whole:].mean(2, keepdim=True))
        return torch.cat(parts, 2) if parts else tensor
