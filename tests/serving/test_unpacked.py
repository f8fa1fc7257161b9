import io
import struct
import zlib

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.serving.unpacked import MOST, check_unpacked


def png(width, height):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


def flac(samples, channels):
    packed = 16_000 << 44 | (channels - 1) << 41 | 15 << 36 | samples
    return b"fLaC" + struct.pack(">B3s", 0x80, b"\0\0\x22") + b"\0" * 10 + struct.pack(">Q", packed)


def npz(size):
    file = io.BytesIO()
    np.savez_compressed(file, videos=np.zeros(size, np.uint8))
    return file.getvalue()


@pytest.mark.parametrize(
    "bomb, fine",
    [
        (png(30_000, 30_000), png(8_000, 8_000)),
        (flac(1 << 35, 1), flac(16_000 * 600, 2)),
        (flac(40_000_000, 2), flac(40_000_000, 1)),
        (npz(MOST + 1), npz(1 << 20)),
    ],
)
def test_a_small_file_that_holds_too_much(bomb, fine):
    assert len(bomb) < 1_000_000
    with pytest.raises(DataError, match=r"image must hold at most 268,435,456 bytes unpacked, got"):
        check_unpacked(bomb, "image")
    check_unpacked(fine, "image")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4junk", b"fLaC", b"\x89PNG", b"RIFF" * 99])
def test_what_is_damaged_is_left_to_its_reader(content):
    check_unpacked(content, "image")


def test_the_length_is_where_a_real_file_has_it():
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    from heedful.serving.unpacked import _unpacked

    file = io.BytesIO()
    soundfile.write(file, np.zeros((12_345, 2), np.int16), 16_000, format="FLAC")
    assert _unpacked(file.getvalue()) == 4 * 12_345 * 2
