"""Tiles of attention weights, and the workspace in which one after the other is computed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

NUMBERS = 2**20  # weights in one tile: 4 MB in float32, which stay in the cache of a processor


class Tile(NamedTuple):
    """Some batch rows, some heads and some query rows, as they are numbered in what was kept."""

    batch: slice
    heads: tuple[int, ...]
    rows: slice

    @property
    def batch_and_heads(self) -> tuple[slice, tuple[int, ...]]:
        """What neighbouring tiles share, since rows are innermost."""
        return self.batch, self.heads


def tiles(
    batch: int, heads: Sequence[int], rows: int, keys: int, *, block: int | None = None
) -> Iterator[Tile]:
    """Cut all weights into tiles of `block` rows, or of at most `NUMBERS` weights; rows innermost.

    Args:
        batch: Batch rows.
        heads: Which heads.
        rows: Query rows.
        keys: Number of keys.
        block: Query rows in one tile. `None` means: as many as fit.
    """
    high = max(1, min(rows, NUMBERS // max(1, keys) if block is None else block))
    wide = max(1, NUMBERS // (high * max(1, keys)))
    deep = max(1, wide // max(1, len(heads)))
    for b in range(0, batch, deep):
        for h in range(0, len(heads), wide):
            for r in range(0, rows, high):
                chosen = tuple(heads[h : h + wide])
                batches = slice(b, min(b + deep, batch))
                yield Tile(batches, chosen, slice(r, min(r + high, rows)))


class Workspace:
    """Memory that every tile uses again: new pages for each would cost more than the softmax."""

    def __init__(self) -> None:
        self._pieces: dict[str, Tensor] = {}

    def buffer(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor that holds anything, until the next one of this name is taken."""
        size = 1
        for length in shape:
            size *= length
        piece = self._pieces.get(name)
        if piece is None or piece.numel() < size or piece.dtype != like.dtype:
            # twice as much as before, since the blocks of a causal map widen little by little
            spare = 0 if piece is None else 2 * piece.numel()
            piece = torch.empty(max(size, spare), dtype=like.dtype, device=like.device)
            self._pieces[name] = piece
        return piece[:size].view(*shape)


def evenly_spaced(rows: int, limit: int | None) -> list[int]:
    """At most `limit` of the row numbers, each standing for as many neighbours."""
    if limit is None or rows <= limit:
        return list(range(rows))
    return [(2 * place + 1) * rows // (2 * limit) for place in range(limit)]


def without_grad_and_autocast(device: torch.device) -> ExitStack:
    """Without gradients and without autocast, whatever the caller has switched on."""
    stack = ExitStack()
    stack.enter_context(torch.no_grad())
    stack.enter_context(torch.autocast(device.type, enabled=False))
    return stack


def upcast(tensor: Tensor) -> Tensor:
    """Half precision becomes float32; anything else stays as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
