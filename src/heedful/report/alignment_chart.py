"""An alignment as an offline HTML page, an SVG or a PNG."""

import html
import re
import warnings
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from heedful.data.alignment import Alignment
from heedful.errors import ConfigError
from heedful.files import write_bytes
from heedful.report._page import FONT, libraries, page
from heedful.report.alignment import check, repeated, shown, shown_line
from heedful.report.fonts import has_chinese_font
from heedful.report.framed import framed, png_of

SUFFIXES = (".html", ".svg", ".png")
# pixels: a map of few pieces takes large cells, one of many small ones, down to what can be told
# apart; a wider one is scrolled
WIDTH, HEIGHT = 1_000, 800
CELLS = {"width": (12, 60), "height": (15, 36)}
ROOM_FOR_NUMBERS = 18
ROOM_FOR_LARGE = 26
_SIZE = re.compile(r'\b(?:width|height)="([0-9.]+)"')

_BODY = """\
<p>Each row is a piece of the answer; its cells say where the model looked for that piece, in per
cent. Attention is evidence about routing, not by itself a reason.</p>
<div class="wide"><div id="map"></div></div>
<noscript><p>The picture needs JavaScript; the table below does not.</p></noscript>
<details><summary>Numbers</summary><div class="wide">{table}</div></details>
"""


def check_output(path: Path) -> None:
    """Say early, before anything is computed, that a picture cannot be written.

    Raises:
        ConfigError: The suffix is not .html, .svg or .png.
        MissingExtraError: The extra `report` is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"output must end in {', '.join(SUFFIXES)}, got {path.name}")
    libraries()


def write_alignment(alignment: Alignment, path: Path, *, command: str) -> None:
    """Write what the suffix of `path` says: .html, .svg or .png, whole or not at all.

    Warns (`UserWarning`) when a PNG holds Chinese characters and no font here can draw them; in the
    other two the reader's browser draws the text with its own fonts.

    Args:
        alignment: What to show.
        path: The file; an old one is replaced.
        command: What made it, word for word; stands in the file.

    Raises:
        ConfigError: The suffix is another one.
        DataError: The weights are not one row of shares for each target piece.
        MissingExtraError: The extra `report` is not installed.
        RunError: The file cannot be written.
    """
    check_output(path)
    check(alignment)
    write = {".html": _html, ".svg": _svg, ".png": _png}[path.suffix.lower()]
    write_bytes(path, write(alignment, command))


def chart(alignment: Alignment) -> dict[str, Any]:
    """The heat map as a Vega-Lite specification; title and badge stand above it.

    Raises:
        MissingExtraError: The extra `report` is not installed.
    """
    alt, _ = libraries()
    sources, targets = repeated(alignment.source), repeated(alignment.target)
    cells = [
        {"source": source, "target": target, "weight": round(weight, 5)}
        for target, row in zip(targets, alignment.weights, strict=True)
        for source, weight in zip(sources, row, strict=True)
    ]
    width = _step(WIDTH, len(sources), *CELLS["width"])
    height = _step(HEIGHT, len(targets), *CELLS["height"])
    size = 13 if min(width, height) >= ROOM_FOR_LARGE else 10
    # the index keeps repeated pieces apart and is cut off for the reader
    axis: dict[str, Any] = {
        "labelExpr": "substring(datum.value, indexof(datum.value, ':') + 1)",
        "labelLimit": 400,
        "labelOverlap": False,
        "labelFontSize": size,
    }
    top = alt.Axis(orient="top", labelAngle=-60, **axis)
    x = alt.X("source:N", sort=sources, title="input", axis=top)
    y = alt.Y("target:N", sort=targets, title="answer", axis=alt.Axis(**axis))
    base = alt.Chart(alt.Data(values=cells)).encode(x=x, y=y)
    tooltip = [
        alt.Tooltip("target:N"),
        alt.Tooltip("source:N"),
        alt.Tooltip("weight:Q", format=".1%"),
    ]
    picture = base.mark_rect(stroke="#ddd").encode(color=_shades(alt), tooltip=tooltip)
    if width >= ROOM_FOR_NUMBERS:
        numbers = base.transform_filter("datum.weight >= 0.005").mark_text(fontSize=size)
        dark = alt.condition("datum.weight > 0.3", alt.value("white"), alt.value("#222"))
        numbers = numbers.encode(text=alt.Text("label:N"), color=dark, tooltip=tooltip)
        picture += numbers.transform_calculate(label="round(datum.weight * 100)")
    sized = picture.properties(width=alt.Step(width), height=alt.Step(height))
    return sized.configure(font=FONT).configure_view(stroke=None).to_dict()


def _shades(alt: Any) -> Any:
    """The colour of a cell, with its legend below the map, where it widens nothing."""
    scale = alt.Scale(type="sqrt", domain=[0, 1], range=["white", "#08519c"], interpolate="lab")
    legend = alt.Legend(
        title="share (square root scale)",
        format="%",
        values=[0, 0.01, 0.1, 0.25, 0.5, 1],
        orient="bottom",
        gradientLength=240,
    )
    return alt.Color("weight:Q", scale=scale, legend=legend)


def _step(room: int, pieces: int, least: int, most: int) -> int:
    return max(least, min(most, room // max(1, pieces)))


def _html(alignment: Alignment, command: str) -> bytes:
    title = shown_line(alignment.title) or "Alignment"
    badge = html.escape(shown_line(alignment.badge))
    said = f"<p><strong>{badge}</strong></p>\n" if badge else ""
    body = said + _BODY.format(table=_table(alignment))
    return page(title, body, {"map": chart(alignment)}, command=shown_line(command))


def _drawn(alignment: Alignment, command: str) -> str:
    """The map under its heading."""
    _, converter = libraries()
    svg: str = converter.vegalite_to_svg(chart(alignment))
    width, height = (float(side) for side in _SIZE.findall(svg.partition(">")[0])[:2])
    return framed(
        svg, (width, height), title=alignment.title, badge=alignment.badge, command=command
    )


def _svg(alignment: Alignment, command: str) -> bytes:
    return _drawn(alignment, command).encode()


def _png(alignment: Alignment, command: str) -> bytes:
    pieces = "".join(alignment.source + alignment.target)
    if any(cell_len(character) == 2 for character in pieces) and not has_chinese_font():
        warnings.warn(
            "a PNG with Chinese characters needs a font that has them, got none on this machine: "
            "they may be empty boxes. Install one (Debian: fonts-noto-cjk) or write .html or .svg.",
            stacklevel=3,
        )
    return png_of(_drawn(alignment, command), command)


def _table(alignment: Alignment) -> str:
    heads = "".join(f"<th>{html.escape(shown(piece))}</th>" for piece in alignment.source)
    rows = [f"<tr><th></th>{heads}</tr>"]
    for piece, row in zip(alignment.target, alignment.weights, strict=True):
        cells = "".join(f"<td>{100 * weight:.1f}</td>" for weight in row)
        rows.append(f"<tr><th>{html.escape(shown(piece))}</th>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>"
