"""Drawn shapes: discs to find among other shapes, noisy and partly covered, with their masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

SIDE = 48  # pixels of either side
SHAPES = "drawn shapes"  # stands where files have a path
NOISIER = "drawn shapes, noisier"  # the same from elsewhere: for how far a model generalises


@dataclass(frozen=True, kw_only=True)
class Style:
    """How shapes are drawn.

    Args:
        noise: Standard deviation of what is added to every pixel, in shares of white.
        contrast: The least and the most by which a shape differs from the ground.
    """

    noise: float
    contrast: tuple[float, float]


STYLES = {
    SHAPES: Style(noise=0.05, contrast=(0.2, 0.5)),
    NOISIER: Style(noise=0.1, contrast=(0.15, 0.4)),
}


def draw_shapes(seed: int, *, style: str = SHAPES) -> tuple[Bytes, Bytes]:
    """Draw one image: ellipses, which its mask says, among rectangles and triangles.

    The ground is a slope of grey. What comes later covers what was there, and two bars as bright as
    any shape cover all; noise lies above.

    Args:
        seed: Which image; the same one whenever it is drawn.
        style: One of `STYLES`.

    Returns:
        Pixels, `(48, 48, 1)`, and the mask, `(48, 48)`: 1 where an ellipse is to be seen.
    """
    random, how = np.random.default_rng(seed), STYLES[style]
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    slope = random.uniform(-0.3, 0.3, 2)
    ground = random.uniform(0.2, 0.45) + slope[0] * (y - 0.5) + slope[1] * (x - 0.5)
    image, mask = ground.copy(), np.zeros((SIDE, SIDE), np.uint8)
    kinds = random.permutation([0] * random.integers(1, 4) + [1] * random.integers(1, 4) + [2, 2])
    for kind in kinds:
        inside = _inside(kind, x, y, random)
        image[inside] = ground[inside] + random.uniform(*how.contrast)
        mask[inside] = kind == 0
    for _ in range(2):
        inside = _bar(x, y, random)
        image[inside] = ground[inside] + random.uniform(*how.contrast)
        mask[inside] = 0
    image += random.normal(0, how.noise, image.shape)
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)[..., None], mask


def _inside(kind: int, x: Floats, y: Floats, random: np.random.Generator) -> NDArray[np.bool_]:
    """Pixels of a shape, somewhere, turned by any angle: an ellipse, a rectangle, a triangle."""
    centre, angle = random.uniform(0.1, 0.9, 2), random.uniform(0, np.pi)
    long, wide = random.uniform(0.1, 0.2), random.uniform(0.7, 1.0)
    across = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / long
    along = ((y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)) / (long * wide)
    if kind == 0:
        return across**2 + along**2 < 1
    if kind == 1:
        return (abs(across) < 0.85) & (abs(along) < 0.85)
    return (along > -0.6) & (along + 1.8 * abs(across) < 1.2)


def _bar(x: Floats, y: Floats, random: np.random.Generator) -> NDArray[np.bool_]:
    angle, place = random.uniform(0, np.pi), random.uniform(-0.3, 0.3)
    return abs((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) - place) < 0.03
