"""An alignment as a heat map in the terminal: shades everywhere, numbers where most of a row is."""

import itertools
import re
from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from heedful.data.alignment import Alignment
from heedful.errors import DataError

SHADES = " ░▒▓█"
LABEL_CELLS = 16  # longer pieces are cut
CELL = 3  # a shade and two digits
STRONG = 0.5  # of the largest share of a row: from there on a cell carries its number
TOLERANCE = 0.02  # a row of bfloat16 shares may miss one by a few roundings of 1/256


def render_terminal(alignment: Alignment, width: int = 80) -> Text:
    """Draw shares of attention in per cent: a row for each target piece, a column for each source.

    The shade grows with the square root of the share, so that small shares stay visible. Cells that
    hold at least half of what the largest of their row holds have a number; the largest stands in
    brackets. What does not fit into `width` follows below, in further panels.

    Args:
        alignment: What to draw.
        width: Cells in a line of the terminal; Chinese characters take two.

    Raises:
        DataError: The weights are not one row of shares for each target piece.
    """
    check(alignment)
    labels = [shown(piece) for piece in alignment.target]
    label_width = max(map(cell_len, labels), default=0)
    sources = [shown(piece) for piece in alignment.source]
    lines = [shown_line(alignment.title), ""] if alignment.title else []
    for columns in _panels(sources, width - label_width - 2):
        sizes = [_column(sources[column]) for column in columns]
        heads = (_right(sources[c], size) for c, size in zip(columns, sizes, strict=True))
        lines.append(" " * (label_width + 2) + " ".join(heads))
        for label, row in zip(labels, alignment.weights, strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            cells = (
                _cell(row[c], size, most=row[best], best=c == best)
                for c, size in zip(columns, sizes, strict=True)
            )
            lines.append((_right(label, label_width) + "  " + " ".join(cells)).rstrip())
        lines.append("")
    lines.append(
        f"per cent where most is; shade '{SHADES.strip()}' by square root; [ ] the largest"
    )
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")


def check(alignment: Alignment) -> None:
    """Say what is wrong with an alignment.

    Raises:
        DataError: The weights are not one row of shares for each target piece.
    """
    sources, targets = len(alignment.source), len(alignment.target)
    if not sources:
        raise DataError("an alignment must have a source piece, got none")
    if len(alignment.weights) != targets:
        raise DataError(
            f"weights must have a row for each target piece, got {len(alignment.weights)} rows "
            f"for {targets} pieces"
        )
    for number, row in enumerate(alignment.weights, 1):
        if len(row) != sources:
            raise DataError(
                f"row {number} of weights must have a column for each source piece, "
                f"got {len(row)} columns for {sources} pieces"
            )
        # a row whose attention went to hidden pieces only is all zero
        if not (min(row) >= 0 and (max(row) == 0 or abs(sum(row) - 1) <= TOLERANCE)):
            raise DataError(
                f"row {number} of weights must be shares of one, got a sum of {sum(row)}"
            )


def shown(piece: str) -> str:
    """A piece as a label: spaces and characters without a picture made visible, long ones cut.

    One space between words is seen as it is.
    """
    text = re.sub(r"(?<!\S) | (?!\S)", "␣", shown_line(piece)) or "∅"
    return text if cell_len(text) <= LABEL_CELLS else set_cell_size(text, LABEL_CELLS - 1) + "…"


def shown_line(text: str) -> str:
    """Text that cannot move the cursor or turn the line around."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _panels(labels: list[str], room: int) -> Iterator[list[int]]:
    """Consecutive columns that fit into a line; at least one a line."""
    panel: list[int] = []
    used = 0
    for column, label in enumerate(labels):
        used += _column(label) + 1
        if panel and used > room + 1:  # the last column needs no gap behind it
            yield panel
            panel, used = [], _column(label) + 1
        panel.append(column)
    yield panel


def _column(label: str) -> int:
    return max(cell_len(label), CELL + 2)  # room for the brackets


def _right(text: str, size: int) -> str:
    return " " * (size - cell_len(text)) + text


def _cell(share: float, size: int, *, most: float, best: bool) -> str:
    shade = SHADES[min(int(share**0.5 * len(SHADES)), len(SHADES) - 1)]
    percent = round(100 * min(share, 1.0))
    if percent == 100:  # takes the place of the shade: nothing is fuller
        body = f"{percent:3d}"
    elif percent and share >= STRONG * most:
        body = f"{shade}{percent:2d}"
    else:
        body = f"{shade * 2 if shade.strip() else '·':>3}"
    return _right(f"[{body}]" if best and percent else f" {body} ", size)


def repeated(pieces: tuple[str, ...]) -> list[str]:
    """A key for each piece that stays different where pieces repeat: `0:the`, `1:cat`, `2:the`."""
    return [f"{index}:{shown(piece)}" for index, piece in zip(itertools.count(), pieces)]
