"""Images with boxes as batches, what is found in them, and what that is worth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.data.boxes import Box
from heedful.data.hashes import checksums, hash_array
from heedful.data.ragged import Ints
from heedful.data.segments import Frame
from heedful.errors import DataError
from heedful.metrics.detection import average_precision, box_recall
from heedful.metrics.metric import Metric
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.detect.examples import Boxed, pixels_of
from heedful.tasks.parts import SameSize
from heedful.tasks.standardised import standardised

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from heedful.models.detector import Detected

Bytes = NDArray[np.uint8]

UNSURE = 0.01  # boxes below are not kept


@dataclass(frozen=True, kw_only=True)
class Found(Box):
    """A box that was found.

    Args:
        score: How sure it is, from 0 to 1.
        query: Which one found it.
    """

    score: float
    query: int


@dataclass(frozen=True)
class Detection:
    """What was found in an image.

    Args:
        boxes: The surest first, in pixels of the file.
        least: How sure those are that are shown.
    """

    boxes: tuple[Found, ...]
    least: float

    @property
    def sure(self) -> list[Found]:
        """Those that are shown."""
        return [box for box in self.boxes if box.score >= self.least]

    def __str__(self) -> str:
        if not self.sure:
            return "nothing"
        return ", ".join(
            f"{box.label} at {box.x:.0f} {box.y:.0f} {box.width:.0f} {box.height:.0f} "
            f"({box.score:.0%})"
            for box in self.sure
        )

    def plain(self) -> list[dict[str, Any]]:
        """Return plain data."""
        return [{key: each for key, each in asdict(b).items() if key != "query"} for b in self.sure]


def detection_metrics() -> tuple[Metric, ...]:
    """Return what boxes are judged by."""
    found = attrgetter("boxes")
    return average_precision(answer=found), box_recall(answer=found)


# ---- batches ------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """What is in an image."""

    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class BoxedImages(SameSize):
    """Images and boxes ready for batches.

    Args:
        pixels: `(images, height, width, channels)`.
        labels: Numbers of things, -1 behind the last one; `UNKNOWN` first where nobody knows.
        boxes: Their centres, widths and heights in shares of the image.
        originals: Height and width of each image as it is in its file.
        augment: Are training images mirrored and turned?
    """

    pixels: Bytes
    labels: Ints
    boxes: NDArray[np.float32]
    originals: list[tuple[int, int]]
    augment: bool

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """Return images of mean 0 and variance 1, labels, and boxes."""
        import torch

        chosen = np.asarray(rows, np.int64)
        pixels, boxes = self.pixels[chosen], self.boxes[chosen]
        if self.augment and random is not None:
            for row in range(len(chosen)):
                pixels[row], boxes[row] = turned(pixels[row], boxes[row], random)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device, torch.float32)
        labels = torch.from_numpy(self.labels[chosen]).to(device)
        return standardised(images), labels, torch.from_numpy(boxes).to(device)

    def things(self, names: Sequence[str]) -> list[Truth]:
        """Return the true boxes of each image, in pixels of the file."""
        found: list[Truth] = []
        for labels, places, (height, width) in zip(
            self.labels, self.boxes, self.originals, strict=True
        ):
            scaled = (places * np.array([width, height, width, height])).tolist()
            found.append(
                Truth(
                    tuple(
                        Box(label=str(names[label]), x=x - w / 2, y=y - h / 2, width=w, height=h)
                        for label, (x, y, w, h) in zip(labels.tolist(), scaled, strict=True)
                        if label >= 0
                    )
                )
            )
        return found

    def fingerprint(self) -> list[int]:
        """Return how many there are, and checksums of pixels, labels and boxes."""
        arrays = self.pixels, self.labels, self.boxes
        return [len(self), *checksums(*arrays)]


def found_in(
    said: "Detected", data: BoxedImages, rows: Sequence[int], names: Sequence[str], *, least: float
) -> list[Detection]:
    """Return what the last decoder layer found in these rows of a data set, within the image.

    Args:
        said: Of the network.
        data: The images.
        rows: Which of them.
        names: Labels in the order of the logits.
        least: How sure boxes are that are shown.
    """
    shares, labels = said.logits[-1].float().softmax(-1)[..., :-1].max(-1)
    columns = (each.cpu().tolist() for each in (shares, labels, said.boxes[-1].float()))
    found: list[Detection] = []
    for row, scores, numbers, places in zip(rows, *columns, strict=True):
        height, width = data.originals[row]
        boxes = [
            Found(
                label=str(names[number]),
                x=max(x - w / 2, 0.0) * width,
                y=max(y - h / 2, 0.0) * height,
                width=max(min(x + w / 2, 1.0) - max(x - w / 2, 0.0), 0.0) * width,
                height=max(min(y + h / 2, 1.0) - max(y - h / 2, 0.0), 0.0) * height,
                score=score,
                query=query,
            )
            for query, (score, number, (x, y, w, h)) in enumerate(
                zip(scores, numbers, places, strict=True)
            )
        ]
        surest = sorted(boxes, key=lambda box: -box.score)
        found.append(Detection(tuple(box for box in surest if box.score >= UNSURE), least))
    return found


def turned(
    pixels: Bytes, boxes: NDArray[np.float32], random: np.random.Generator
) -> tuple[Bytes, NDArray[np.float32]]:
    """Return an image and its boxes, mirrored or turned by quarters, all eight ways alike."""
    rows, columns, across = (random.random(3) < 0.5).tolist()
    pixels, boxes = pixels[:: -1 if rows else 1, :: -1 if columns else 1], boxes.copy()
    for axis, mirrored in enumerate((columns, rows)):
        if mirrored:
            boxes[:, axis] = 1 - boxes[:, axis]
    if across and pixels.shape[0] == pixels.shape[1]:
        return pixels.swapaxes(0, 1), boxes[:, [1, 0, 3, 2]]
    return pixels, boxes


def load_boxed(
    examples: Sequence[Boxed], names: Sequence[str], *, frame: Frame, augment: bool
) -> BoxedImages:
    """Read images again, and make boxes ready.

    Args:
        examples: What to read.
        names: Labels in the order of their numbers.
        frame: What images are made into.
        augment: Are training images mirrored and turned?

    Raises:
        DataError: A file is missing or damaged, holds other pixels than it did, or a box has a
            label that is not known.
        MissingExtraError: The extra `images` is not installed.
    """
    most = max((len(each.boxes) for each in examples), default=0)
    pixels = np.zeros((len(examples), *frame.shape), np.uint8)
    labels = np.full((len(examples), max(most, 1)), -1, np.int64)
    boxes = np.zeros((*labels.shape, 4), np.float32)
    numbers = {name: number for number, name in enumerate(names)}
    originals: list[tuple[int, int]] = []
    for row, each in enumerate(examples):
        pixels[row], (height, width) = pixels_of(each, frame)
        originals.append((height, width))
        if each.hash and each.hash != hash_array(pixels[row]):
            raise DataError(
                f"{each.file}, image {each.index}, must be the one that was held out, "
                "got other pixels"
            )
        if not each.known:
            labels[row, 0] = UNKNOWN
        for place, box in enumerate(each.boxes):
            if box.label not in numbers:
                raise DataError(
                    f"{each.file}, image {each.index}, must have labels of the training split, "
                    f"got {box.label!r:.80}"
                )
            labels[row, place] = numbers[box.label]
            middle = box.x + box.width / 2, box.y + box.height / 2
            sides = (*middle, box.width, box.height)
            boxes[row, place] = np.divide(sides, (width, height, width, height))
    return BoxedImages(pixels, labels, boxes, originals, augment)
