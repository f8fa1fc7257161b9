"""Pixels as a PNG, with what made them as its comment."""

import base64
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
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
    return SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def with_command(picture: bytes, command: str) -> bytes:
    """Return a PNG of anybody's with what made it as its comment, packed as small as it gets.

    Who draws in a hurry packs in a hurry: pictures of cells get eight times smaller.
    """
    parts = [_chunk(b"iTXt", b"Command\0\0\0\0\0" + command.encode())]
    lines = zlib.decompressobj()
    pixels = b""
    for name, content in _chunks(picture):
        if name == b"IHDR":
            parts.insert(0, _chunk(name, content))
        elif name == b"IDAT":
            pixels += lines.decompress(content)
        elif name != b"IEND":
            parts.append(_chunk(name, content))
    parts += [_chunk(b"IDAT", zlib.compress(pixels, 9)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(picture):
        (size,) = struct.unpack_from(">I", picture, place)
        yield picture[place + 4 : place + 8], picture[place + 8 : place + 8 + size]
        place += 12 + size


def data_uri(pixels: NDArray[np.uint8], command: str = "") -> str:
    """Return the address of a PNG that stands in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels, command)).decode()}"
