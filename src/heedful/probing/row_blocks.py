"""A map, some rows at a time."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from heedful.probing.call import ProbedCall
from heedful.probing.tiles import Tile, Workspace, tiles


class RowBlock(NamedTuple):
    """Some rows of a map.

    Args:
        rows: The numbers of these query rows.
        weights: `(batch, heads, rows, keys)`.
    """

    rows: Tensor
    weights: Tensor


def row_blocks(call: ProbedCall, block: int) -> Iterator[RowBlock]:
    """Go through the map of a call, so many rows at a time."""
    batch, heads, rows, keys = call.shape
    shown, whole = call.shown, None
    for tile, weights, _, _ in call.weights.tiles(_rows_first(call, block), Workspace()):
        start = tile.rows.start // block * block
        stop = min(start + block, rows)
        if whole is None:
            whole = weights.new_zeros(batch, heads, stop - start, keys)
        places = [shown.index(head) for head in tile.heads]
        here = slice(tile.rows.start - start, tile.rows.stop - start)
        whole[tile.batch, places, here, : weights.shape[3]] = weights
        if (tile.batch.stop, tile.heads[-1], tile.rows.stop) == (batch, shown[-1], stop):
            yield RowBlock(call.weights.rows[start:stop], whole)
            whole = None


def _rows_first(call: ProbedCall, block: int) -> Iterator[Tile]:
    """All parts of the first block of rows, then all of the next."""
    batch, _, rows, keys = call.shape
    for start in range(0, rows, block):
        size = min(block, rows - start)
        for tile in tiles(batch, call.shown, size, keys):
            within = slice(tile.rows.start + start, tile.rows.stop + start)
            yield tile._replace(rows=within)
