"""Images with labels: digits that come with scikit-learn, IDX files, and a folder for each label.

Examples only name an image: `ImageReference` says where its pixels are and what their hash is, and
`Source.load` reads them again. So a split of a million images is a short list.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from heedful.data.hashes import hash_array
from heedful.data.label_folders import list_label_folders
from heedful.data.pictures import SUFFIXES, read_picture
from heedful.errors import DataError, MissingExtraError

Pixels = NDArray[np.uint8]  # (images, height, width, channels)

DIGITS = "digits of scikit-learn"  # stands where files have a path
OTHERS = (".bmp", ".gif", ".jp2", ".tif", ".tiff", ".webp", ".heic")  # images, but not read
UNSIGNED_BYTES = 8  # the type of number that an IDX file of images must hold


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Where an image is, and what it shows.

    Args:
        file: An absolute path, or `DIGITS`. Empty where only a label and a seed are asked for.
        index: Which image of the file.
        label: What it shows.
        hash: Of its pixels, as they were when it became part of a split.
        seed: Of the noise from which its counterpart is made.
    """

    file: str
    index: int
    label: str
    hash: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Images in one place, read when they are needed.

    Args:
        path: An IDX file of images, a folder with a folder for each label, or `DIGITS`.
        labels: An IDX file of labels, for one of images.
        size: Pixels of either side to which the images of a folder are cut and resized.
        channels: 1 for grey, 3 for red, green and blue; what a folder is turned into.
    """

    path: str
    labels: str | None = None
    size: int = 32
    channels: int = 1

    def references(self) -> list[ImageReference]:
        """Return one reference for each image, in the order of the file, or of labels and names.

        Their seeds are numbers from 0 on.

        Raises:
            DataError: A file is missing or damaged, or there are not as many labels as images.
            MissingExtraError: The extra `images` is not installed.
        """
        if self.path == DIGITS:
            pixels, labels = _digits()
            names = [DIGITS] * len(pixels)
        elif self.labels is not None:
            pixels, labels = _read_pair(self.path, self.labels)
            names = [os.path.abspath(self.path)] * len(pixels)
        else:
            names, labels = zip(
                *list_label_folders(
                    self.path, suffixes=SUFFIXES, others=OTHERS, kind="a PNG or JPEG image"
                ),
                strict=True,
            )
            pixels = np.stack([self._open(name) for name in names])
        places = range(len(names)) if self._is_one_file else [0] * len(names)
        return [
            ImageReference(name, index, label, hash_array(image), seed=row)
            for row, (name, index, label, image) in enumerate(
                zip(names, places, labels, pixels, strict=True)
            )
        ]

    def load(self, references: Sequence[ImageReference]) -> Pixels:
        """Read the images again to which the references point.

        Raises:
            DataError: A file is missing or damaged, or holds other pixels than it did.
            MissingExtraError: The extra `images` is not installed.
        """
        images: list[NDArray[np.uint8]] = []
        for reference in references:
            held = self._held(reference.file)
            image = held[reference.index] if 0 <= reference.index < len(held) else None
            if image is None or hash_array(image) != reference.hash:
                raise DataError(
                    f"{reference.file}, image {reference.index}, must be the one that was held "
                    f"out, got {'none' if image is None else 'other pixels'}"
                )
            images.append(image)
        return np.stack(images)

    def refer(self, file: str, index: int = 0) -> ImageReference:
        """Refer to one image, whose label nobody knows.

        Args:
            file: A PNG or JPEG file, an IDX file of images, or `DIGITS`.
            index: Which image of the file.

        Raises:
            DataError: The file is missing or damaged, or holds no such image.
            MissingExtraError: The extra `images` is not installed.
        """
        held = self._held(file)
        if not 0 <= index < len(held):
            raise DataError(f"{file} must hold image {index}, got images 0 to {len(held) - 1:,}")
        name = file if file == DIGITS else os.path.abspath(file)
        return ImageReference(name, index, "", hash_array(held[index]))

    def _held(self, file: str) -> Sequence[NDArray[np.uint8]]:
        """All images of a file."""
        if file == DIGITS:
            return cast(Sequence[Any], _digits()[0])
        if self._is_one_file and Path(file).suffix.lower() not in SUFFIXES:
            return cast(Sequence[Any], _images(file))
        return [self._open(file)]

    @property
    def _is_one_file(self) -> bool:
        return self.path == DIGITS or self.labels is not None

    def _open(self, path: str) -> NDArray[np.uint8]:
        return read_picture(path, self.size, self.channels)


# ---- IDX ----------------------------------------------------------------------------------------


def read_idx(path: Path | str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, as MNIST and its kin are; `.gz` is unpacked.

    Raises:
        DataError: The file is missing, damaged, or no IDX file of unsigned bytes.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _read_shape(path, cast(BinaryIO, file))
            room = int(np.prod(shape, dtype=object))
            content = file.read(room + 1)  # one more, to see that nothing follows
    except FileNotFoundError:
        raise DataError(f"{path} must be an IDX file, got no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} must be whole gzip data, got: {error}") from None
    except (OSError, OverflowError, MemoryError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"{path} must be a readable file, got: {said}") from None
    if len(content) != room:
        got = "more" if len(content) > room else f"{len(content):,}"
        raise DataError(f"{path} must hold {room:,} bytes for the shape {shape}, got {got}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_shape(path: Path, file: BinaryIO) -> tuple[int, ...]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTES or not head[3]:
        raise DataError(
            f"{path} must begin with the bytes 00 00 08 of an IDX file, got {head.hex(' ')!r}"
        )
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{path} must state {head[3]} sizes, got {len(sizes) // 4}")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


def _read_pair(images: str, labels: str) -> tuple[Pixels, list[str]]:
    pixels, numbers = _images(images), read_idx(labels)
    if numbers.ndim != 1 or len(numbers) != len(pixels):
        raise DataError(
            f"{labels} must hold a label for each of the {len(pixels):,} images of {images}, "
            f"got the shape {numbers.shape}"
        )
    return pixels, [str(number) for number in numbers.tolist()]


def _images(path: str) -> Pixels:
    """The images of an IDX file; what was read last is kept until the file changes."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} must be an IDX file, got: {error.strerror}") from None
    except ValueError as error:  # no file can have such a name
        raise DataError(f"{path!r:.200} must be an IDX file, got: {error}") from None
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise DataError(f"{path} must be an IDX file, got no ordinary file")
    return _kept_images(os.path.abspath(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=3)  # the three splits
def _kept_images(path: str, changed: int, size: int) -> Pixels:
    pixels = read_idx(path)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise DataError(
            f"{path} must hold images of shape (images, height, width[, 1 or 3]), "
            f"got the shape {pixels.shape}"
        )
    return pixels


# ---- what needs an extra ------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _digits() -> tuple[Pixels, list[str]]:
    """1,797 written digits of 8 x 8 pixels with 17 levels of grey."""
    try:
        from sklearn.datasets import load_digits  # pyright: ignore  # an extra
    except ImportError:
        raise MissingExtraError(
            "the built-in digits need the package scikit-learn, got none. "
            "Run: pip install 'heedful[images]'"
        ) from None
    found: Any = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]
    pixels.setflags(write=False)
    return pixels, [str(label) for label in found.target.tolist()]
