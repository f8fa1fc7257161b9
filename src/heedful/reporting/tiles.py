"""Maps as tiles of 64 x 64 cells, a few rows at a time: however long the input, memory is small."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from heedful.probing.call import ProbedCall
from heedful.probing.probe import Probe
from heedful.report.run_page.data import Tile

SIDE = 64
ROOM = 2**20  # weights at a time


def tiles_of(found: Probe, site: str) -> list[Tile]:
    """Return the map of each head of a site as a tile, of the first of a batch.

    A decoder that remembers calls a site once for each token that it writes: their rows together.

    Args:
        found: What was captured.
        site: Which one.

    Raises:
        ConfigError: There is no such site.
        UnsupportedError: Nothing can be said of it.
    """
    calls = found.calls(site)
    steps = [place for place, call in enumerate(calls) if _is_step(call)]
    chosen = steps if len(steps) == len(calls) > 1 else [len(calls) - 1]
    rows = sum(calls[place].shape[2] for place in chosen)
    keys = max(calls[place].shape[3] for place in chosen)

    def blocks() -> Iterator[NDArray[np.float64]]:
        for place in chosen:
            batch, heads, _, width = calls[place].shape
            size = max(1, ROOM // max(1, batch * heads * width))
            for block in found.blocks(site, call=place, block=size):
                yield block.weights[0].double().cpu().numpy()

    return pooled(blocks(), rows=rows, keys=keys)


def pooled(blocks: Iterable[NDArray[np.float64]], *, rows: int, keys: int) -> list[Tile]:
    """Return maps as tiles: at most 64 x 64 cells, each the largest share of what it covers.

    Args:
        blocks: Rows of the maps `(heads, some rows, keys or fewer)`, one block after the other.
        rows: Of all blocks.
        keys: Of the widest block.
    """
    lines, columns = _starts(rows), _starts(keys)
    cells: NDArray[np.float64] | None = None
    start = 0
    for block in blocks:
        shares = np.nan_to_num(np.abs(block))
        heads, some, width = shares.shape
        if cells is None:
            cells = np.zeros((heads, len(lines), len(columns)))
        here = columns[columns < width]
        narrow = np.maximum.reduceat(shares, here, axis=2)
        line = np.searchsorted(lines, np.arange(start, start + some), side="right") - 1
        np.maximum.at(cells[:, :, : len(here)].swapaxes(0, 1), line, narrow.swapaxes(0, 1))
        start += some
    return [] if cells is None else [_tile(each, rows, keys) for each in cells]


def _tile(cells: NDArray[np.float64], rows: int, keys: int) -> Tile:
    largest = float(cells.max())
    scaled = np.sqrt(cells / max(largest, np.finfo(float).tiny))
    return Tile(
        cells=np.rint(255 * scaled).astype(np.uint8), largest=largest, queries=rows, keys=keys
    )


def _is_step(call: ProbedCall) -> bool:
    return call.shape[2] == 1


def _starts(places: int) -> NDArray[np.intp]:
    """Where each cell of a tile begins: as `floor(cell * places / cells)`."""
    cells = min(SIDE, places)
    return np.arange(cells) * places // cells
