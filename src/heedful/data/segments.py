"""Images with masks: drawn shapes, arrays in an NPZ file, and folders of PNG and JPEG files.

Examples only name an image and its mask: `SegmentReference` says where both are and what the hash
of their pixels is, and `load_segments` reads them again.
"""

import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.hashes import hash_array
from heedful.data.pictures import SUFFIXES, open_picture
from heedful.data.shapes import SIDE, STYLES, draw_shapes
from heedful.errors import DataError

Bytes = NDArray[np.uint8]

NO_LABEL = 255  # in a mask, where nobody knows
MASK_MODES = ("1", "L", "P")  # pictures whose pixels are one number


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """Where an image and its mask are.

    Args:
        file: An absolute path, or the name of a style of drawn shapes.
        index: Which image of the file, or the seed of drawn shapes.
        mask: The file of the mask; empty where there is none.
        hash: Of the pixels, as they were when the image became part of a split.
        mask_hash: Of its mask.
    """

    file: str
    index: int = 0
    mask: str = ""
    hash: str = ""
    mask_hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What all images of a training are made into.

    Args:
        height: In pixels.
        width: In pixels.
        channels: 1 for grey, 3 for red, green and blue.
    """

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of an array."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Segments:
    """Images that were read, with their masks.

    Args:
        pixels: `(images, height, width, channels)`.
        masks: `(images, height, width)`: labels, or `NO_LABEL`.
        originals: Height and width of each image as it is in its file.
    """

    pixels: Bytes
    masks: Bytes
    originals: list[tuple[int, int]]


def refer(
    files: Sequence[tuple[str, int, str]], *, frame: Frame, classes: int
) -> list[SegmentReference]:
    """Return references to images and masks, with the hashes of their pixels.

    Args:
        files: The file, the index and the file of the mask of each.
        frame: What images are made into.
        classes: Labels there may be in a mask.

    Raises:
        DataError: A file is missing or damaged, or a mask does not fit its image.
        MissingExtraError: The extra `images` is not installed.
    """
    found: list[SegmentReference] = []
    for file, index, mask in files:
        pixels, labels, _ = _load(SegmentReference(file, index, mask), frame, classes)
        hashes = hash_array(pixels), hash_array(labels) if mask else ""
        found.append(SegmentReference(file, index, mask, *hashes))
    return found


def load_segments(
    references: Sequence[SegmentReference], *, frame: Frame, classes: int
) -> Segments:
    """Read images and masks again.

    Args:
        references: Those without a mask get one of nothing but `NO_LABEL`.
        frame: What images are made into.
        classes: Labels there may be in a mask.

    Raises:
        DataError: A file is missing or damaged, or holds other pixels than it did.
        MissingExtraError: The extra `images` is not installed.
    """
    pixels = np.zeros((len(references), *frame.shape), np.uint8)
    masks = np.full((len(references), *frame.shape[:2]), NO_LABEL, np.uint8)
    originals: list[tuple[int, int]] = []
    for row, each in enumerate(references):
        pixels[row], masks[row], original = _load(each, frame, classes)
        originals.append(original)
        held = (each.hash, pixels[row]), (each.mask_hash, masks[row])
        if any(known and known != hash_array(found) for known, found in held):
            raise DataError(
                f"{each.file}, image {each.index}, must be the one that was held out, "
                "got other pixels or another mask"
            )
    return Segments(pixels, masks, originals)


def list_npz(path: str) -> tuple[list[tuple[str, int, str]], Frame]:
    """Return what `refer` takes for each image of an NPZ file, and what size they have.

    Raises:
        DataError: The file is missing, damaged, or does not hold what it must.
    """
    path = os.path.abspath(path)
    height, width, channels = read_arrays(path)[0].shape[1:]
    count = len(read_arrays(path)[0])
    frame = Frame(height=height, width=width, channels=channels)
    return [(path, index, path) for index in range(count)], frame


def list_folder(folder: str) -> list[tuple[str, int, str]]:
    """Return what `refer` takes for each image below `images`, with its mask below `masks`.

    Raises:
        DataError: There is no image, or an image without a mask, or a mask without an image.
    """
    images, masks = (_pictures(Path(folder) / name) for name in ("images", "masks"))
    for name, path in images.items():
        if name not in masks:
            raise DataError(f"{path} must have a mask {name}.png in {folder}/masks, got none")
    for name, path in masks.items():
        if name not in images:
            raise DataError(f"{path} must have an image {name} in {folder}/images, got none")
    if not images:
        raise DataError(f"{folder}/images must hold {', '.join(SUFFIXES)} files, got none")
    return [(path, 0, masks[name]) for name, path in images.items()]


def _pictures(folder: Path) -> dict[str, str]:
    """Paths of pictures by their names without suffix."""
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of PNG or JPEG files, got none")
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise DataError(f"{path} must be the only picture of its name, got two")
            found[path.stem] = os.path.abspath(path)
    return found


def _load(
    reference: SegmentReference, frame: Frame, classes: int
) -> tuple[Bytes, Bytes, tuple[int, int]]:
    """Pixels, labels, and the size of the image in its file."""
    if reference.file in STYLES:
        pixels, mask = draw_shapes(reference.index, style=reference.file)
    elif reference.mask and reference.file == reference.mask:
        pixels, mask = _of_npz(reference)
    else:
        return _of_pictures(reference, frame, classes)
    if pixels.shape != frame.shape:
        raise DataError(
            f"{reference.file} must hold images as large as in training, {frame.shape}, "
            f"got {pixels.shape}"
        )
    labels = _labels(mask, classes, f"{reference.file}, mask {reference.index},")
    return pixels, labels, (frame.height, frame.width)


def _of_npz(reference: SegmentReference) -> tuple[Bytes, Bytes]:
    images, masks = read_arrays(reference.file)
    if not 0 <= reference.index < len(images):
        raise DataError(
            f"{reference.file} must hold the image {reference.index}, got {len(images):,} images"
        )
    return images[reference.index], masks[reference.index]


def _of_pictures(
    reference: SegmentReference, frame: Frame, classes: int
) -> tuple[Bytes, Bytes, tuple[int, int]]:
    picture = open_picture(reference.file, "L" if frame.channels == 1 else "RGB")
    from PIL.Image import Resampling

    size, original = (frame.width, frame.height), (picture.height, picture.width)
    pixels = np.asarray(picture.resize(size), np.uint8).reshape(frame.shape)
    if not reference.mask:
        return pixels, np.full(frame.shape[:2], NO_LABEL, np.uint8), original
    mask: Any = open_picture(reference.mask)
    if mask.mode not in MASK_MODES:
        raise DataError(
            f"{reference.mask} must be a grey picture of 8 bits a pixel, "
            f"got one of mode {mask.mode}"
        )
    if mask.size != picture.size:
        raise DataError(
            f"{reference.mask} must be as large as its image, {picture.width} x {picture.height}, "
            f"got {mask.width} x {mask.height}"
        )
    labels = _labels(np.asarray(mask, np.uint8), classes, reference.mask)
    if mask.size != size:
        from PIL import Image

        labels = np.asarray(Image.fromarray(labels).resize(size, Resampling.NEAREST), np.uint8)
    return pixels, labels, original


def _labels(mask: Bytes, classes: int, name: str) -> Bytes:
    """The values of a mask as labels: with two of them all that is not 0 becomes 1.

    Raises:
        DataError: There are other values.
    """
    values = np.unique(mask)
    if classes == 2:
        if len(values[values > 0]) > 1:
            raise DataError(
                f"{name} must hold 0 and one other value, got {len(values):,} values: "
                "with more labels than two set data.classes"
            )
        return (mask > 0).astype(np.uint8)
    if values.max() >= classes:
        raise DataError(f"{name} must hold values below {classes}, got {values.max()}")
    return mask


def read_arrays(path: str) -> tuple[Bytes, Bytes]:
    """Return images and masks of an NPZ file; what was read last is kept until it changes.

    Raises:
        DataError: The file is missing, damaged, or does not hold what it must.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{path!r:.200} must be an NPZ file, got: {said}") from None
    if not os.path.isfile(path):  # a pipe would be waited for
        raise DataError(f"{path} must be an NPZ file, got no ordinary file")
    return _kept(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=3)  # the three splits
def _kept(path: str, changed: int, size: int) -> tuple[Bytes, Bytes]:
    try:
        # opened here, for numpy leaves a broken file open
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            missing = [name for name in ("images", "masks") if name not in file]
            if missing:
                raise DataError(f"{path} must hold the arrays images and masks, got {file.files}")
            images, masks = file["images"], file["masks"]
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        said = "an array alone" if isinstance(error, TypeError) else error
        raise DataError(f"{path} must be a whole NPZ file without objects, got: {said}") from None
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"{path}, images, must be bytes of shape (images, height, width[, 1 or 3]), "
            f"got {images.dtype} of shape {images.shape}"
        )
    if 0 in images.shape or masks.shape != images.shape[:3] or masks.dtype not in (np.uint8, bool):
        raise DataError(
            f"{path}, masks, must be bytes of the shape {images.shape[:3]} of its images, "
            f"got {masks.dtype} of shape {masks.shape}"
        )
    return images, masks.astype(np.uint8)


SHAPES_FRAME = Frame(height=SIDE, width=SIDE, channels=1)
