"""The heads of a model on the terminal: a small map each, and how widely it looks."""

import math
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from heedful.report.alignment import shown_line
from heedful.report.run_page.data import Atlas, Head, Tile

SHADES = " ░▒▓█"
CELLS = 8  # of a side; a cell is two characters wide, so that it looks square
GAP = "  "


def render_atlas(atlas: Atlas, width: int = 80) -> Text:
    """Draw the map of every head in cells, the fuller, the larger the largest share in it.

    Args:
        atlas: The heads; what could not be observed is named behind them.
        width: Cells in a line of the terminal.
    """
    lines = [f"heads, for {shown_line(atlas.title)}", "rows look at columns; below: head, entropy"]
    sites: dict[str, list[Head]] = {}
    for head in atlas.heads:
        sites.setdefault(head.site, []).append(head)
    beside = max(1, (width + len(GAP)) // (2 * CELLS + len(GAP)))
    for site, heads in sites.items():
        lines += ["", site]
        for start in range(0, len(heads), beside):
            lines += [*_row(heads[start : start + beside]), ""]
    lines += [f"{name}: {reason}" for name, reason in atlas.unobservable.items()]
    return Text("\n".join(lines).rstrip("\n"), no_wrap=True, overflow="ignore")


def _row(heads: Sequence[Head]) -> list[str]:
    """Some heads beside each other, with what is said below each."""
    maps = [_drawn(head.tile) for head in heads]
    high = max(map(len, maps))
    blank = " " * (2 * CELLS)
    lines = [
        GAP.join(each[line] if line < len(each) else blank for each in maps) for line in range(high)
    ]
    return [*lines, GAP.join(_label(head).ljust(2 * CELLS) for head in heads)]


def _drawn(tile: Tile) -> list[str]:
    rows, columns = (
        np.arange(min(CELLS, size)) * size // min(CELLS, size) for size in tile.cells.shape
    )
    cells = np.maximum.reduceat(np.maximum.reduceat(tile.cells, rows, axis=0), columns, axis=1)
    steps = np.minimum(cells.astype(int) * len(SHADES) // 256, len(SHADES) - 1)
    return ["".join(2 * SHADES[step] for step in row).ljust(2 * CELLS) for row in steps.tolist()]


def _label(head: Head) -> str:
    entropy = head.before.entropy
    number = f"{entropy:.2f}" if math.isfinite(entropy) else "–"
    return f"{head.number}: {number}{' sink' if head.before.sink else ''}"
