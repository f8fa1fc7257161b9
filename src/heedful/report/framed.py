"""A picture under its heading, as one SVG: the badge first, then what was asked and answered."""

import html
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heedful.report._page import libraries
from heedful.report.alignment import shown_line
from heedful.report.png import with_command

FONT = "Noto Sans, DejaVu Sans, Noto Sans CJK SC, PingFang SC, Microsoft YaHei, sans-serif"
EDGE = 8  # pixels around everything
LINE = 20
CELL = 7.5  # pixels of a character, two of a Chinese one, at the most that is usual
LINES = 8  # of a title; what is longer is cut, and says so
INK = "#222"
# what stands before the word of a badge, as strokes: not every machine has fonts with these marks
MARKS = {
    "✔": ("#0a6640", "M2 8 l4 4 l8 -9"),
    "✘": ("#b3261e", "M3 3 l10 10 M13 3 l-10 10"),
    "?": ("#6b5900", "M4 5 a4 3.5 0 1 1 5.5 3.2 q-1.5 .8 -1.5 2 M8 13.2 l0 .6"),
    "–": ("#555", "M3 8 l10 0"),
}


def framed(
    inner: str, size: tuple[float, float], *, title: str, badge: str, command: str = ""
) -> str:
    """Return an SVG with a heading above a picture.

    Args:
        inner: Elements of SVG.
        size: Width and height that they take.
        title: In lines as wide as the picture; may be empty.
        badge: The verdict on an explanation, its mark first; empty for what is none.
        command: What made it, word for word; nobody sees it, the file has it.
    """
    room = max(size[0], _wide(badge) + LINE if badge else 0)
    lines = [*_lines(title, max(8, int(room / CELL)))]
    parts: list[str] = []
    top = float(EDGE)
    if badge:
        parts += _badge(badge, top)
        top += LINE + 2
    for line in lines:
        parts.append(_text(line, EDGE, top + LINE - 6))
        top += LINE
    top += EDGE if parts else 0
    width, height = round(room + 2 * EDGE), round(top + size[1] + EDGE)
    said = html.escape(" ".join(filter(None, (title and f"{title}:", badge))) or title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{shown_line(said)}</title><desc>{html.escape(shown_line(command))}</desc>"
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<g font-family="{FONT}" font-size="13" fill="{INK}">{"".join(parts)}</g>'
        f'<g transform="translate({EDGE} {top:g})">{inner}</g></svg>\n'
    )


def png_of(svg: str, command: str = "", *, scale: int = 2) -> bytes:
    """Return what `framed` made as a PNG.

    Args:
        svg: The whole picture.
        command: What made it, word for word; stands in the file.
        scale: Pixels for each of the SVG.

    Raises:
        MissingExtraError: The extra `report` is not installed.
    """
    _, converter = libraries()
    picture: bytes = converter.svg_to_png(svg, scale=scale)
    return with_command(picture, shown_line(command))


def _badge(badge: str, top: float) -> Iterator[str]:
    """The mark as strokes, and the words behind it."""
    mark, _, words = badge.partition(" ")
    colour, strokes = MARKS[mark]
    yield (
        f'<path transform="translate({EDGE} {top + 1:g})" d="{strokes}" fill="none" '
        f'stroke="{colour}" stroke-width="2.4" stroke-linecap="round"/>'
    )
    said = html.escape(shown_line(words))
    yield (
        f'<text x="{EDGE + LINE}" y="{top + LINE - 6:g}" font-weight="bold" '
        f'fill="{colour}">{said}</text>'
    )


def _text(line: str, left: float, baseline: float) -> str:
    return f'<text x="{left:g}" y="{baseline:g}">{html.escape(line)}</text>'


def _lines(title: str, cells: int) -> list[str]:
    """A title in lines of so many cells; Chinese characters take two, and may end any line."""
    found = Text(" ".join(shown_line(title).split())).wrap(Console(width=cells), cells)
    wrapped = [line.plain.rstrip() for line in found if line.plain.strip()]
    return wrapped if len(wrapped) <= LINES else [*wrapped[: LINES - 1], f"{wrapped[LINES - 1]} …"]


def _wide(text: str) -> float:
    return cell_len(text) * CELL * 1.1  # it is bold
