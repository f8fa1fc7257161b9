"""Digits on a canvas: those of scikit-learn, a few on each image, with the boxes around them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.data.boxes import Box
from heedful.data.images import DIGITS, Source
from heedful.errors import MissingExtraError

Bytes = NDArray[np.uint8]

SIDE = 48  # pixels of either side
INK = 60  # of 255: from here on a pixel belongs to a digit


@dataclass(frozen=True, kw_only=True)
class Style:
    """Where digits come from, and how they are drawn.

    Args:
        digits: The first and the last of scikit-learn's 1,797, which no other split has.
        noise: Standard deviation of what is added to every pixel, in shares of white.
        count: How many are drawn, at least and at most; one that would cover another is left out.
    """

    digits: tuple[int, int]
    noise: float = 0.05
    count: tuple[int, int] = (2, 8)


TRAIN, DEV, TEST = (f"digits on a canvas, {split}" for split in ("train", "dev", "test"))
CROWDED = "digits on a canvas, test, more of them and noisier"  # the same from elsewhere
CANVASES = {
    TRAIN: Style(digits=(0, 1_000)),
    DEV: Style(digits=(1_000, 1_300)),
    TEST: Style(digits=(1_300, 1_797)),
    CROWDED: Style(digits=(1_300, 1_797), noise=0.1, count=(6, 14)),
}


def draw_canvas(seed: int, *, style: str) -> tuple[Bytes, tuple[Box, ...]]:
    """Draw digits of different sizes and brightness on a noisy ground, with a few strokes.

    A digit covers no more than a fifth of the box of another one.

    Args:
        seed: Which image; the same one whenever it is drawn.
        style: One of `CANVASES`.

    Returns:
        Pixels, `(48, 48, 1)`, and a box around what is to be seen of each digit.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    random, how = np.random.default_rng(seed), CANVASES[style]
    image = np.full((SIDE, SIDE), random.uniform(20, 70))
    for _ in range(random.integers(0, 3)):
        _stroke(image, random)
    boxes: list[Box] = []
    for _ in range(random.integers(how.count[0], how.count[1] + 1)):
        digit, label = _digit(int(random.integers(*how.digits)), random)
        height, width = digit.shape
        y, x = (int(random.integers(0, SIDE - size + 1)) for size in (height, width))
        rows, columns = (np.flatnonzero((digit > INK).any(axis)) for axis in (1, 0))
        box = Box(
            label=label,
            x=float(x + columns[0]),
            y=float(y + rows[0]),
            width=float(columns[-1] - columns[0] + 1),
            height=float(rows[-1] - rows[0] + 1),
        )
        if any(box.overlap(other) > 0.2 for other in boxes):
            continue
        boxes.append(box)
        room = image[y : y + height, x : x + width]
        ink = digit / 255 * random.uniform(0.6, 1.0)
        room[:] = room * (1 - ink) + 255 * ink
    image += random.normal(0, 255 * how.noise, image.shape)
    return np.rint(image.clip(0, 255)).astype(np.uint8)[..., None], tuple(boxes)


def _digit(number: int, random: np.random.Generator) -> tuple[Bytes, str]:
    """One of scikit-learn's digits, enlarged."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(
            "drawing digits needs the package pillow, got none. Run: pip install 'heedful[images]'"
        ) from None
    pixels, labels = _digits()
    width, height = (int(size) for size in random.integers(11, 19, 2))
    enlarged = Image.fromarray(pixels[number]).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(enlarged, np.uint8), labels[number]


@lru_cache(maxsize=1)
def _digits() -> tuple[Bytes, list[str]]:
    source = Source(DIGITS)
    references = source.references()
    return source.load(references)[..., 0], [each.label for each in references]


def _stroke(image: NDArray[np.float64], random: np.random.Generator) -> None:
    """A thin line across the canvas, as bright as a digit may be."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle, place = random.uniform(0, np.pi), random.uniform(-0.4, 0.4)
    image[abs(x * np.cos(angle) + y * np.sin(angle) - place) < 0.012] = random.uniform(120, 220)
