"""Pixels as a PNG, with what made them as its comment."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

HEADER = 8 + 25  # bytes of the signature and of IHDR
COLOURS = {1: 0, 3: 2, 4: 6}  # channels -> how the format calls them: grey, RGB, RGB and opacity


def png(pixels: NDArray[np.uint8], command: str = "") -> bytes:
    """Return a PNG of pixels, `(height, width, channels)`: grey, RGB, or RGB and opacity.

    Source:
        PNG specification, third edition, sections 11.2 (critical chunks) and 11.3.3.4 (iTXt).
    """
    height, width, channels = pixels.shape
    # in front of each line stands the number of its filter: none
    lines = np.hstack([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)),
        *([(b"iTXt", b"Command\0\0\0\0\0" + command.encode())] if command else []),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def with_command(picture: bytes, command: str) -> bytes:
    """Return a PNG of anybody's with what made it as its comment, behind its header."""
    content = b"iTXt" + b"Command\0\0\0\0\0" + command.encode()
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return picture[:HEADER] + chunk + picture[HEADER:]


def data_uri(pixels: NDArray[np.uint8], command: str = "") -> str:
    """Return the address of a PNG that stands in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels, command)).decode()}"
