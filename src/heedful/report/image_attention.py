"""An image and where its places looked, or words about it: in the terminal, as HTML, SVG or PNG."""

import html
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.errors import ConfigError
from heedful.files import write_bytes
from heedful.report.alignment import shown, shown_line
from heedful.report.framed import FONT, INK, framed, png_of
from heedful.report.png import data_uri

SUFFIXES = (".html", ".svg", ".png")
SHADES = " ░▒▓█"
SIDE = 224  # pixels of a panel, or a little less where its cells do not divide that
GAP = 16  # pixels between panels
BESIDE = 6  # panels in a row
NAME = 12  # pixels of the word below a panel
MARK = (220, 60, 40)  # the place that looks
DARK = 0.2  # what is left of the light where a word did not look

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
</head>
<body style="font-family: sans-serif; margin: 2rem">
<h1>{title}</h1>
{badge}<img alt="the image, and where its places looked" src="{source}">
<p>{legend}</p>
<p>Made by</p>
<pre>{command}</pre>
</body>
</html>
"""


def render_image(picture: ImageAttention) -> Text:
    """Draw an image in shades, and below it where its places looked."""
    grey = np.asarray(picture.pixels, float).mean(2) / 255
    lines = [picture.title, *_drawn(grey)]
    for each in picture.maps:
        place = f"row {each.row + 1}, column {each.column + 1}"
        of = f"what counts for {each.word}" if picture.explains else ""
        lines += ["", f"{of or f'where {each.word or place} looked'}: the fuller, the more"]
        lines += _drawn(_strength(each))
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")


def write_image(picture: ImageAttention, path: Path, *, command: str) -> None:
    """Write what the suffix of `path` says: .html, .svg or .png, whole or not at all.

    Args:
        picture: What to show.
        path: The file; an old one is replaced.
        command: What made it, word for word; stands in the file.

    Raises:
        ConfigError: The suffix is another one.
        MissingExtraError: A PNG needs the extra `report`.
        RunError: The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"output must end in {', '.join(SUFFIXES)}, got {path.name}")
    if suffix == ".html":
        source = data_uri(mosaic(picture), command)
        badge = html.escape(shown_line(picture.badge))
        text = _PAGE.format(
            title=html.escape(picture.title),
            badge=f"<p><strong>{badge}</strong></p>\n" if badge else "",
            source=source,
            legend=html.escape(_legend(picture)),
            command=html.escape(command),
        )
        write_bytes(path, text.encode())
        return
    svg = _drawn_whole(picture, command)
    write_bytes(path, png_of(svg, command) if suffix == ".png" else svg.encode())


def _drawn_whole(picture: ImageAttention, command: str) -> str:
    """The panels under their heading, each word under its own."""
    pixels = mosaic(picture)
    height, width, _ = pixels.shape
    source = data_uri(pixels, command)
    parts = [
        f'<image width="{width}" height="{height}" href="{source}" xlink:href="{source}" '
        'style="image-rendering:pixelated"/>'
    ]
    if any(each.word for each in picture.maps):
        parts += _names(picture)
        height += GAP
    return framed(
        "".join(parts), (width, height), title=picture.title, badge=picture.badge, command=command
    )


def _names(picture: ImageAttention) -> Iterator[str]:
    """The words below their panels; the first panel is the image itself."""
    image = _enlarged(np.asarray(picture.pixels, np.uint8))
    height, width = (side + GAP for side in image.shape[:2])
    columns = min(1 + len(picture.maps), BESIDE)
    for number, each in enumerate(picture.maps, 1):
        row, column = divmod(number, columns)
        x, y = column * width, (row + 1) * height - GAP + NAME
        yield (
            f'<text x="{x}" y="{y}" font-family="{FONT}" font-size="{NAME}" fill="{INK}">'
            f"{html.escape(shown(each.word))}</text>"
        )


def mosaic(picture: ImageAttention) -> NDArray[np.uint8]:
    """Return the image and a panel for each map, in rows on white, as red, green and blue.

    The panel of a place is a map with the place in red; that of a word the image, lit where the
    word looked.
    """
    pixels = np.asarray(picture.pixels, np.uint8)
    image = _enlarged(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    panels = [image, *(_panel(each, image) for each in picture.maps)]
    height, width = (max(panel.shape[side] for panel in panels) + GAP for side in (0, 1))
    columns = min(len(panels), BESIDE)
    rows = -(-len(panels) // columns)
    whole = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        room = whole[row * height :, column * width :]
        room[: panel.shape[0], : panel.shape[1]] = panel
    return whole[:-GAP, :-GAP]


def _panel(each: AttentionMap, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    strength = _strength(each)
    if each.word:
        places = [np.arange(side) for side in image.shape[:2]]
        cells = [at * count // len(at) for at, count in zip(places, strength.shape, strict=True)]
        light = DARK + (1 - DARK) * strength[np.ix_(*cells)]
        return np.rint(image * light[..., None]).astype(np.uint8)
    shade = np.rint(255 * (1 - strength)).astype(np.uint8)
    panel = np.repeat(shade[:, :, None], 3, axis=2)
    panel[each.row, each.column] = MARK
    return _enlarged(panel)


def _strength(each: AttentionMap) -> NDArray[np.float64]:
    """Square roots of shares, the largest one being 1: so small ones stay visible."""
    shares = np.asarray(each.weights, float)
    return np.sqrt(shares / max(shares.max(), np.finfo(float).tiny))


def _enlarged(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = max(1, SIDE // max(cells.shape[:2]))
    return cells.repeat(scale, axis=0).repeat(scale, axis=1)


def _drawn(strength: NDArray[np.float64]) -> list[str]:
    """Lines of shades, two cells wide, as high as they are wide."""
    steps = np.minimum((strength * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(2 * SHADES[step] for step in row) for row in steps.tolist()]


def _legend(picture: ImageAttention) -> str:
    if not picture.maps:
        return "The model has no attention."
    words = [each.word for each in picture.maps if each.word]
    if picture.explains:
        return f"First the image; then, lit, what counts for each answer: {' · '.join(words)}."
    shown = (
        f"First the image; then, lit, where each word looked: {' · '.join(words)}. "
        if words
        else "Left the image; then, for each place in red, where it looked: the darker, the more. "
    )
    return f"{shown}Attention is evidence about routing, not by itself a reason."
