"""Images with boxes: canvases, CSV files with pictures, NPZ files with masks, in three splits."""

import os
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from heedful.data.boxes import Box, read_boxes
from heedful.data.canvases import CANVASES, DEV, TEST, TRAIN, draw_canvas
from heedful.data.canvases import SIDE as CANVAS
from heedful.data.components import parts_of
from heedful.data.examples import Splits, check_sizes
from heedful.data.hashes import hash_array
from heedful.data.pictures import open_picture
from heedful.data.segments import Frame, list_npz, read_arrays
from heedful.data.shares import divide
from heedful.errors import DataError
from heedful.tasks.detect.config import Data, DigitsData, TableData

Bytes = NDArray[np.uint8]

THING = "thing"  # the label of parts of masks that have but one value beside 0


@dataclass(frozen=True, slots=True)
class Boxed:
    """An image, and the boxes in it.

    Args:
        file: An absolute path, or a style of canvases.
        index: Which image of the file, or the seed of a canvas.
        boxes: In pixels of the file.
        known: Are boxes known?
        hash: Of the pixels, as they were when the image became part of a split.
    """

    file: str
    index: int = 0
    boxes: tuple[Box, ...] = ()
    known: bool = True
    hash: str = ""


def pixels_of(example: Boxed, frame: Frame) -> tuple[Bytes, tuple[int, int]]:
    """Return the pixels of an image, and its height and width in its file.

    Raises:
        DataError: The file is missing or damaged, or the image has another size.
        MissingExtraError: The extra `images` is not installed.
    """
    if example.file in CANVASES:
        return draw_canvas(example.index, style=example.file)[0], (CANVAS, CANVAS)
    if example.file.endswith(".npz"):
        images = read_arrays(example.file)[0]
        found = images[example.index] if 0 <= example.index < len(images) else None
        if found is None or found.shape != frame.shape:
            raise DataError(
                f"{example.file}, image {example.index}, must be as large as in training, "
                f"{frame.shape}, got {'none' if found is None else found.shape}"
            )
        return found, (frame.height, frame.width)
    picture = open_picture(example.file, "L" if frame.channels == 1 else "RGB")
    resized = np.asarray(picture.resize((frame.width, frame.height)), np.uint8)
    return resized.reshape(frame.shape), (picture.height, picture.width)


def read_splits(data: Data, seed: int) -> Splits[Boxed]:
    """Refer to all images; what is held out depends on their pixels and the seed alone.

    Args:
        data: Where they are.
        seed: Of canvases, and of what is held out.

    Raises:
        DataError: A file cannot be used, a split is empty, or a label is not one to be learned.
        MissingExtraError: The extra `images` is not installed.
    """
    if isinstance(data, DigitsData):
        counts = {TRAIN: data.train, DEV: data.dev, TEST: data.test}
        parts = [canvases(style, count, seed) for style, count in counts.items()]
        return Splits(train=parts[0], dev=parts[1], test=parts[2])
    if data.test is not None:
        check_sizes(frame_of(data).shape, frame_of(data, data.test).shape)
    test = None if data.test is None else read_boxed(data, data.test)
    shares = (data.dev_share, data.test_share if test is None else 0.0)
    splits = divide(read_boxed(data, data.train), attrgetter("hash"), shares, seed=seed)
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        if not part:
            raise DataError(
                f"the {name} split must have an image, got none of {data.train}: "
                "give more images, or other shares"
            )
    known = {box.label for each in splits.train for box in each.boxes}
    held_out = splits.test if test is None else test
    for each in (*splits.dev, *held_out):
        for box in each.boxes:
            if box.label not in known:
                raise DataError(
                    f"{each.file}, image {each.index}, must have labels of the training split, "
                    f"got {box.label!r:.80}"
                )
    return Splits(train=splits.train, dev=splits.dev, test=held_out)


def canvases(style: str, count: int, seed: int) -> list[Boxed]:
    """Refer to drawn canvases.

    Args:
        style: One of `CANVASES`.
        count: How many.
        seed: Of the first one.
    """
    first = seed % 2**38 << 24
    found: list[Boxed] = []
    for index in range(first, first + count):
        pixels, boxes = draw_canvas(index, style=style)
        found.append(Boxed(style, index, boxes, hash=hash_array(pixels)))
    return found


def read_boxed(data: Data, path: str) -> list[Boxed]:
    """Refer to the images of one file.

    Raises:
        DataError: It cannot be used.
        MissingExtraError: The extra `images` is not installed.
    """
    frame = frame_of(data, path)
    if isinstance(data, TableData):
        found = [Boxed(image, 0, boxes) for image, boxes in read_boxes(path).items()]
    else:
        files, masks = list_npz(path)[0], read_arrays(os.path.abspath(path))[1]
        alike = len(np.unique(masks[masks > 0])) < 2
        found = [
            Boxed(file, index, boxes_of(mask, label=THING if alike else None))
            for (file, index, _), mask in zip(files, masks, strict=True)
        ]
    return [
        Boxed(each.file, each.index, each.boxes, hash=hash_array(pixels_of(each, frame)[0]))
        for each in found
    ]


def boxes_of(mask: Bytes, *, label: str | None) -> tuple[Box, ...]:
    """Return boxes around the connected parts of a mask.

    Args:
        mask: Labels; 0 is none.
        label: Of all boxes; `None` means the number in the mask.
    """
    return tuple(
        Box(
            label=label or str(part.label),
            x=float(part.x),
            y=float(part.y),
            width=float(part.width),
            height=float(part.height),
        )
        for part in parts_of(mask)
    )


def frame_of(data: Data, path: str = "") -> Frame:
    """Return what images are made into; those of an NPZ file stay as they are."""
    if isinstance(data, DigitsData):
        return Frame(height=CANVAS, width=CANVAS, channels=1)
    if isinstance(data, TableData):
        return Frame(height=data.size, width=data.size, channels=3 if data.colour else 1)
    return list_npz(path or data.train)[1]
