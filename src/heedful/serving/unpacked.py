"""How large a file becomes when it is read, told by its head: a small file may hold very much."""

import io
import struct
import zipfile

from heedful.errors import DataError

MOST = 1 << 28  # bytes


def check_unpacked(content: bytes, what: str) -> None:
    """Refuse a PNG, FLAC or NPZ file that would fill the memory; of others their size says enough.

    Args:
        content: Of the file. What is damaged is left to whoever reads it.
        what: Its kind, for the message.

    Raises:
        DataError: It says of itself that it holds more than `MOST` bytes.
    """
    size = _unpacked(content)
    if size > MOST:
        raise DataError(f"{what} must hold at most {MOST:,} bytes unpacked, got {size:,}")


def _unpacked(content: bytes) -> int:
    if content.startswith(b"\x89PNG") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return 4 * width * height
    if content.startswith(b"fLaC") and len(content) >= 26:
        # 20 bits of rate, 3 of channels - 1, 5 of bits, 36 of samples in each channel
        [packed] = struct.unpack(">Q", content[18:26])
        return 4 * (packed & (1 << 36) - 1) * ((packed >> 41 & 7) + 1)
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return sum(each.file_size for each in archive.infolist())
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
            return 0
    return 0
