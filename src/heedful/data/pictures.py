"""PNG and JPEG files as pixels."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError, MissingExtraError

SUFFIXES = (".png", ".jpg", ".jpeg")


def open_picture(path: str, mode: str | None = None) -> Any:
    """Read a PNG or JPEG file: a picture of Pillow, upright.

    Args:
        path: The file.
        mode: What its pixels are turned into, `L` or `RGB`; `None` leaves them.

    Raises:
        DataError: It is missing, no ordinary file, or damaged.
        MissingExtraError: The extra `images` is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError(
            "reading PNG and JPEG files needs the package pillow, got none. "
            "Run: pip install 'heedful[images]'"
        ) from None
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise DataError(f"{path} must be an image, got no ordinary file")
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            return upright.convert(mode or upright.mode)
    except FileNotFoundError:
        raise DataError(f"{path} must be an image, got no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} must be a PNG or JPEG image, got: {error}") from None


def read_picture(path: str, size: int, channels: int) -> NDArray[np.uint8]:
    """Read a PNG or JPEG file as pixels: upright, its middle cut to a square and resized.

    Args:
        path: The file.
        size: Pixels a side.
        channels: 1 for grey, 3 for red, green and blue.

    Raises:
        DataError: The file is missing or damaged.
        MissingExtraError: The extra `images` is not installed.
    """
    upright = open_picture(path, "L" if channels == 1 else "RGB")
    from PIL import ImageOps

    fitted = ImageOps.fit(upright, (size, size))
    return np.asarray(fitted, np.uint8).reshape(size, size, channels)
