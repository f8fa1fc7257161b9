"""Boxes around things in images: from a CSV file, with the images it names."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heedful.data.columns import number_in, read_columns
from heedful.data.pictures import open_picture
from heedful.errors import DataError

COLUMNS = ("path", "x", "y", "width", "height", "label")


@dataclass(frozen=True, kw_only=True)
class Box:
    """A thing in an image.

    Args:
        label: What it is.
        x: Its left end, in pixels from the left.
        y: Its upper end.
        width: In pixels.
        height: In pixels.
    """

    label: str
    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: "Box") -> float:
        """Return the intersection over the union of both."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        along = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        both = max(across, 0.0) * max(along, 0.0)
        return both / (self.width * self.height + other.width * other.height - both)


def read_boxes(path: Path | str) -> dict[str, tuple[Box, ...]]:
    """Read a CSV file with a header and one line for each box: images, and what is in them.

    Its columns are path, x, y, width, height and label; others are ignored. A line whose columns
    are blank but for the path is of an image with nothing in it.

    Args:
        path: The file; paths in it are relative to its folder.

    Returns:
        Boxes by the absolute path of their image, in the order of the file.

    Raises:
        DataError: The file or an image cannot be read, a number is none, a box is empty, outside
            its image or there twice.
        MissingExtraError: The extra `images` is not installed.
    """
    folder = Path(path).absolute().parent
    found: dict[str, list[Box]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    lines: dict[tuple[str, Box | None], int] = {}
    for number, name, box in _lines(path):
        image = str(folder / name)
        if image not in sizes:
            sizes[image] = _size(image, f"{path}:{number}")
        before = lines.setdefault((image, box), number)
        if before != number:
            raise DataError(f"{path}:{number} must say something new, got line {before} again")
        boxes = found.setdefault(image, [])
        if (box is None and boxes) or (box and (image, None) in lines):
            raise DataError(
                f"{path}:{number} must not tell of nothing and of something in one image, "
                f"got {name}"
            )
        if box is not None:
            _check_inside(box, sizes[image], f"{path}:{number}")
            boxes.append(box)
    return {image: tuple(boxes) for image, boxes in found.items()}


def _size(image: str, place: str) -> tuple[int, int]:
    try:
        return open_picture(image).size
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def _lines(path: Path | str) -> Iterator[tuple[int, str, Box | None]]:
    for number, row in read_columns(path, COLUMNS, blank=COLUMNS[1:]):
        name, *values, label = (text.strip() for text in row)
        if not any((*values, label)):
            yield number, name, None
            continue
        for column, value in zip(COLUMNS[1:], (*values, label), strict=True):
            if not value:
                raise DataError(f"{path}:{number} must have a {column}, got none")
        x, y, width, height = (
            number_in(path, number, column, value)
            for column, value in zip(COLUMNS[1:-1], values, strict=True)
        )
        yield number, name, Box(label=label, x=x, y=y, width=width, height=height)


def _check_inside(box: Box, size: tuple[int, int], place: str) -> None:
    if box.width <= 0 or box.height <= 0:
        raise DataError(
            f"{place} must have a width and a height above 0, got {box.width:g} and {box.height:g}"
        )
    right, lower = box.x + box.width, box.y + box.height
    inside = box.x >= 0 and box.y >= 0 and right <= size[0] and lower <= size[1]
    if not inside or not math.isfinite(right + lower):
        raise DataError(
            f"{place} must have a box inside its image of {size[0]} x {size[1]} pixels, "
            f"got {box.x:g} to {right:g} and {box.y:g} to {lower:g}"
        )
