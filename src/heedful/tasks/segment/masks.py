"""Images and masks in three splits and as batches, what is answered, and what that is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.data.components import Part, parts_of
from heedful.data.examples import Splits, check_sizes
from heedful.data.hashes import checksums
from heedful.data.segments import (
    NO_LABEL,
    SHAPES_FRAME,
    Bytes,
    Frame,
    SegmentReference,
    Segments,
    list_folder,
    list_npz,
    refer,
)
from heedful.data.shapes import SHAPES
from heedful.data.shares import divide
from heedful.errors import DataError
from heedful.metrics.metric import PER_CENT, Floats, Metric, SumMetric, per_example
from heedful.metrics.overlap import mean_dice, mean_iou
from heedful.metrics.reading import itself
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.parts import SameSize
from heedful.tasks.segment.config import Data, FolderData, ShapesData
from heedful.tasks.standardised import standardised

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BITS = 24  # of the seed of an image are its number


@dataclass(frozen=True)
class SegmentImages(SameSize):
    """Images and masks ready for batches."""

    segments: Segments
    augment: bool

    def __len__(self) -> int:
        return len(self.segments.pixels)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "tuple[Tensor, Tensor]":
        """Return images of mean 0 and variance 1, and labels, `UNKNOWN` where nobody knows."""
        import torch

        chosen = np.asarray(rows, np.int64)
        pixels, masks = self.segments.pixels[chosen], self.segments.masks[chosen].astype(np.int64)
        masks[masks == NO_LABEL] = UNKNOWN
        if self.augment and random is not None:
            for row in range(len(chosen)):
                pixels[row], masks[row] = _turned(pixels[row], masks[row], random)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device, torch.float32)
        return standardised(images), torch.from_numpy(masks).to(device)

    def fingerprint(self) -> list[int]:
        """Return how many there are, and checksums of pixels and labels."""
        arrays = self.segments.pixels, self.segments.masks
        return [len(self), *checksums(*arrays)]


def _turned(pixels: Bytes, mask: Any, random: np.random.Generator) -> tuple[Bytes, Any]:
    """An image and its mask, mirrored or turned by quarters, all eight ways alike."""
    rows, columns, across = (random.random(3) < 0.5).tolist()
    steps = (-1 if rows else 1), (-1 if columns else 1)
    pixels, mask = pixels[:: steps[0], :: steps[1]], mask[:: steps[0], :: steps[1]]
    if across and pixels.shape[0] == pixels.shape[1]:
        return pixels.swapaxes(0, 1), mask.T
    return pixels, mask


@dataclass(frozen=True)
class SegmentedImage:
    """The label of every pixel.

    Args:
        mask: As large as the images of the training.
        size: Height and width of the image in its file.
        truth: The mask that the example has; `None` where there is none.
    """

    mask: Bytes
    size: tuple[int, int]
    truth: Bytes | None = None

    @cached_property
    def whole(self) -> Bytes:
        """The mask as large as the image in its file."""
        lines, columns = (
            np.arange(size) * held // size
            for size, held in zip(self.size, self.mask.shape, strict=True)
        )
        return self.mask[lines][:, columns]

    @cached_property
    def parts(self) -> list[Part]:
        """Connected parts of `whole`."""
        return parts_of(self.whole)

    def __str__(self) -> str:
        counts = [(label, self._share(label)) for label in self._labels()]
        if not counts:
            return "nothing"
        return ", ".join(
            f"label {label}: {share:.1%} in {self._count(label)} parts" for label, share in counts
        )

    def plain(self) -> dict[str, Any]:
        """Return plain data: shares, boxes around parts, and runs of pixels, line by line."""
        return {
            "height": self.size[0],
            "width": self.size[1],
            "labels": {
                str(label): {
                    "share": self._share(label),
                    "boxes": [
                        [part.x, part.y, part.width, part.height]
                        for part in self.parts
                        if part.label == label
                    ],
                    "runs": runs_of(self.whole == label),
                }
                for label in self._labels()
            },
        }

    def _labels(self) -> list[int]:
        return np.unique(self.whole[self.whole > 0]).tolist()

    def _share(self, label: int) -> float:
        return float((self.whole == label).mean())

    def _count(self, label: int) -> int:
        return sum(part.label == label for part in self.parts)


def masks_of(logits: "Tensor", data: SegmentImages, rows: Sequence[int]) -> list[SegmentedImage]:
    """Return the likeliest labels of these rows of a data set, beside the true ones."""
    held, masks = data.segments, logits.argmax(1).cpu().numpy().astype(np.uint8)
    truths = [held.masks[row] for row in rows]
    return [
        SegmentedImage(mask, held.originals[row], None if NO_LABEL in truth else truth)
        for mask, row, truth in zip(masks, rows, truths, strict=True)
    ]


def runs_of(there: "np.ndarray[Any, np.dtype[np.bool_]]") -> list[list[int]]:
    """Return the start and the length of each run of true pixels, counted line by line from 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there.ravel(), [False]]).astype(int)))
    return [[int(start), int(end - start)] for start, end in edges.reshape(-1, 2)]


def segment_metrics() -> tuple[Metric, ...]:
    """Return what masks are judged by.

    `iou` and `dice` count the pixels of all images together, and are means over the labels but 0.
    `image_iou` is the mean over images of the intersection over the union of all that is not 0;
    where nothing is there and nothing was found it is 100.
    """
    pooled = (
        replace(mean_iou(background=0, truth=itself), name="iou"),
        replace(mean_dice(background=0, truth=itself), name="dice"),
    )

    def image_iou(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        found: list[float] = []
        for said, true in zip(*_both(answers), strict=True):
            union = ((said > 0) | (true > 0)).sum()
            found.append(PER_CENT * ((said == true) & (true > 0)).sum() / union if union else 100.0)
        return per_example(found)

    return (
        *(replace(each, of=_reads(each)) for each in pooled),
        SumMetric(name="image_iou", of=image_iou, span=PER_CENT, floor=0.0, unit="%"),
    )


def _reads(metric: Metric) -> Any:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        return metric.statistics(*_both(answers))

    return of


def _both(answers: Sequence[SegmentedImage]) -> tuple[list[Bytes], list[Bytes]]:
    truths = [each.truth for each in answers if each.truth is not None]
    if len(truths) < len(answers):
        raise DataError(
            "every image must have a mask to be compared with, got "
            f"{len(answers) - len(truths)} without"
        )
    return [each.mask for each in answers], truths


# ---- splits -------------------------------------------------------------------------------------


def read_splits(data: Data, seed: int) -> Splits[SegmentReference]:
    """Refer to all images.

    What is held out of the training images depends on their pixels and the seed alone: an image
    that is there twice is on one side.

    Args:
        data: Where they are.
        seed: Of drawn shapes, and of what is held out.

    Raises:
        DataError: A file cannot be used, or a split is empty.
        MissingExtraError: The extra `images` is not installed.
    """
    if isinstance(data, ShapesData):
        first = seed % 2 ** (62 - BITS) << BITS
        files = [(SHAPES, first + number, SHAPES) for number in range(data.examples)]
        found = refer(files, frame=SHAPES_FRAME, classes=2)
        held = data.dev + data.test
        return Splits(train=found[held:], dev=found[: data.dev], test=found[data.dev : held])
    if not isinstance(data, FolderData) and data.test is not None:
        check_sizes(frame_of(data).shape, list_npz(data.test)[1].shape)
    test = None if data.test is None else read_references(data, data.test)
    shares = (data.dev_share, data.test_share if test is None else 0.0)
    splits = divide(read_references(data, data.train), attrgetter("hash"), shares, seed=seed)
    for name, part in (("train", splits.train), ("dev", splits.dev)):
        if not part:
            raise DataError(
                f"the {name} split must have an image, got none of {data.train}: "
                "give more images, or other shares"
            )
    return Splits(train=splits.train, dev=splits.dev, test=splits.test if test is None else test)


def read_references(data: Data, path: str) -> list[SegmentReference]:
    """Refer to the images of one file or folder.

    Raises:
        DataError: It cannot be used.
        MissingExtraError: The extra `images` is not installed.
    """
    if isinstance(data, FolderData):
        return refer(list_folder(path), frame=frame_of(data), classes=data.classes)
    files, frame = list_npz(path)
    return refer(files, frame=frame, classes=classes_of(data))


def frame_of(data: Data) -> Frame:
    """Return what images are made into."""
    if isinstance(data, ShapesData):
        return SHAPES_FRAME
    if isinstance(data, FolderData):
        return Frame(height=data.size, width=data.size, channels=3 if data.colour else 1)
    return list_npz(data.train)[1]


def classes_of(data: Data) -> int:
    """Return how many labels a pixel may have."""
    return 2 if isinstance(data, ShapesData) else data.classes
