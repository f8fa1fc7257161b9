"""Pixels as a PNG, read by its specification and by another reader."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest

from heedful.report.png import data_uri, png, with_command


def unpacked(content):
    """The pixels of a PNG without filters, and its chunks."""
    chunks, place = {}, 8
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        name = content[place + 4 : place + 8]
        chunks[name] = content[place + 8 : place + 8 + size]
        (check,) = struct.unpack_from(">I", content, place + 8 + size)
        assert check == zlib.crc32(name + chunks[name])
        place += 12 + size
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, -1), chunks


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_holds_its_pixels_and_its_command(channels):
    pixels = np.arange(2 * 3 * channels, dtype=np.uint8).reshape(2, 3, channels)
    content = png(pixels, "heedful predict größer")
    found, chunks = unpacked(content)
    assert np.array_equal(found, pixels)
    assert chunks[b"iTXt"].split(b"\0")[-1].decode() == "heedful predict größer"
    image = pytest.importorskip("PIL.Image")  # another reader's opinion
    assert np.array_equal(np.asarray(image.open(io.BytesIO(content))).reshape(2, 3, -1), pixels)


def test_without_a_command_there_is_no_comment():
    assert b"iTXt" not in unpacked(png(np.zeros((1, 1, 1), np.uint8)))[1]


def test_a_picture_of_somebody_else_is_packed_and_keeps_its_pixels():
    image = pytest.importorskip("PIL.Image")
    pixels = np.tile(np.arange(60, dtype=np.uint8), (60, 40, 1)).reshape(60, 2400 // 3, 3)
    loose = io.BytesIO()
    image.fromarray(pixels).save(loose, "png", compress_level=0, dpi=(144, 144))
    packed = with_command(loose.getvalue(), "heedful explain größer")
    read = image.open(io.BytesIO(packed))
    assert np.array_equal(np.asarray(read), pixels)
    assert read.text["Command"] == "heedful explain größer"
    assert round(read.info["dpi"][0]) == 144
    assert len(packed) < len(loose.getvalue()) / 50


def test_an_address_holds_the_whole_picture():
    pixels = np.full((2, 2, 1), 7, np.uint8)
    head, _, content = data_uri(pixels).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == png(pixels)
