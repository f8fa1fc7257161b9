"""Largest and smallest keys of every page, in a store that grows as a cache does."""

from typing import final

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.selection._shapes import check_count, check_positions


@final
class Edges:
    """Two keys per page, side by side, so that one product meets both; room doubles."""

    def __init__(self, page: int) -> None:
        check_count("page", page, least=1)
        self.page = page
        self.length = 0
        self._room: Tensor | None = None  # (batch, kv_heads, pages, 2 dim): largest, smallest

    @property
    def pages(self) -> int:
        """Pages, the last of which may be partly filled."""
        return -(-self.length // self.page)

    def stored(self) -> Tensor:
        """`(batch, kv_heads, pages, 2 dim)`, without copying."""
        if self._room is None:
            raise ShapeError("pages must hold keys before they are read, got none")
        return self._room[:, :, : self.pages]

    @torch.no_grad()
    def append(self, key: Tensor) -> None:
        """Take up keys that follow those before: the last page is filled first."""
        check_positions("key", key)
        added, old, dim = key.shape[2], self.pages, key.shape[3]
        room = self._grown(key, -(-(self.length + added) // self.page))
        into_last = min(-self.length % self.page, added)
        if into_last:
            last, new = room[:, :, old - 1], _edges(key[:, :, :into_last])
            torch.maximum(last[..., :dim], new[..., :dim], out=last[..., :dim])
            torch.minimum(last[..., dim:], new[..., dim:], out=last[..., dim:])
        self.length += added
        self._fill(room[:, :, old:], key[:, :, into_last:])

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows, in this order."""
        if self._room is not None:
            self._room = self._room.index_select(0, rows)

    def _grown(self, key: Tensor, pages: int) -> Tensor:
        batch, kv_heads, _, dim = key.shape
        if self._room is None:
            self._room = key.new_empty(batch, kv_heads, pages, 2 * dim)
        had = self._room
        if (had.shape[0], had.shape[1], had.shape[3]) != (batch, kv_heads, 2 * dim):
            stored = (had.shape[0], had.shape[1], self.length, had.shape[3] // 2)
            raise ShapeError(
                "key must match the pages in batch, heads and dim, "
                f"got {tuple(key.shape)} for keys of shape {stored}"
            )
        if pages > had.shape[2]:
            larger = had.new_empty(batch, kv_heads, max(pages, 2 * had.shape[2]), 2 * dim)
            larger[:, :, : self.pages] = had[:, :, : self.pages]
            self._room = larger
        return self._room

    def _fill(self, room: Tensor, key: Tensor) -> None:
        whole = key.shape[2] // self.page
        if whole:
            pages = key[:, :, : whole * self.page].unflatten(2, (whole, self.page))
            room[:, :, :whole] = _edges(pages)
        if key.shape[2] % self.page:
            room[:, :, whole] = _edges(key[:, :, whole * self.page :])


def _edges(keys: Tensor) -> Tensor:
    """`(..., keys, dim)` to the largest and the smallest, `(..., 2 dim)`."""
    return torch.cat((keys.amax(-2), keys.amin(-2)), -1)
