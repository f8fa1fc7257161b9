"""Connected parts of a mask, with the boxes around them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.errors import MissingExtraError


@dataclass(frozen=True, kw_only=True)
class Part:
    """A connected part of a mask.

    Args:
        label: Of its pixels.
        x: Of its left column, from 0 on.
        y: Of its upper row.
        width: In pixels.
        height: In pixels.
        pixels: How many belong to it.
    """

    label: int
    x: int
    y: int
    width: int
    height: int
    pixels: int


def parts_of(mask: NDArray[np.integer[Any]]) -> list[Part]:
    """Return the parts whose pixels of one label touch each other at a side; 0 is no label.

    Args:
        mask: Labels, `(height, width)`.

    Raises:
        MissingExtraError: The extra `images` is not installed.
    """
    try:
        from scipy import ndimage
    except ImportError:
        raise MissingExtraError(
            "connected parts need the package scipy, got none. Run: pip install 'heedful[images]'"
        ) from None
    found: list[Part] = []
    for label in np.unique(mask[mask > 0]).tolist():
        labelled: Any = ndimage.label(mask == label)
        numbers, count = labelled
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        for (rows, columns), pixels in zip(ndimage.find_objects(numbers), sizes, strict=True):
            found.append(
                Part(
                    label=label,
                    x=columns.start,
                    y=rows.start,
                    width=columns.stop - columns.start,
                    height=rows.stop - rows.start,
                    pixels=int(pixels),
                )
            )
    return found
