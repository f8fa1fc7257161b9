"""PNG and JPEG files as pixels."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError, MissingExtraError

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")  # whatever a file is called: for some others Pillow runs programs
DEEP = "I"  # begins the modes of grey pictures with 16 bits a pixel


def open_picture(path: str, mode: str | None = None) -> Any:
    """Read a PNG or JPEG file: a picture of Pillow, upright.

    Grey pictures of 16 bits become ones of 8: by itself Pillow makes white of all above 255.

    Args:
        path: The file.
        mode: What its pixels are turned into, `L` or `RGB`; `None` leaves them.

    Raises:
        DataError: It is missing, no ordinary file, of another format, or damaged.
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
        with Image.open(path, formats=FORMATS) as opened:
            opened.verify()  # the checksums of a PNG file, which reading it leaves out
        with Image.open(path, formats=FORMATS) as opened:
            upright = ImageOps.exif_transpose(opened)
            if mode and upright.mode.startswith(DEEP):
                deep = np.asarray(upright).astype(np.int64)
                upright = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
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
