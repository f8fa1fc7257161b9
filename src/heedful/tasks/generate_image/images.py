"""Images with labels as a data set, images that were made, and what those are worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.hashes import checksums
from heedful.data.images import ImageReference, Pixels, Source
from heedful.data.ragged import Ints
from heedful.errors import DataError
from heedful.metrics.classification import accuracy
from heedful.metrics.frechet import frechet_distance
from heedful.metrics.metric import Floats, Metric, SumMetric, per_example
from heedful.tasks.parts import SameSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class LabelledImages(SameSize):
    """Images ready for batches; where only a label was asked for, `known` is false."""

    pixels: Pixels
    labels: Ints
    seeds: Ints
    known: NDArray[np.bool_]
    flip: bool

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """Return images with values from -1 to 1, labels, and seeds of noise."""
        import torch

        rows = np.asarray(rows, np.int64)  # type: ignore[assignment]
        pixels = self.pixels[rows]
        if self.flip and random is not None:
            mirrored = random.random(len(pixels)) < 0.5
            pixels[mirrored] = pixels[mirrored][:, :, ::-1]
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device) / 127.5 - 1
        labels, seeds = (torch.from_numpy(each[rows]) for each in (self.labels, self.seeds))
        return images, labels.to(device), seeds

    def fingerprint(self) -> list[int]:
        """Return how many there are, and checksums of pixels and labels."""
        return [len(self), *checksums(self.pixels, self.labels)]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """What the classifier of a training sees in an image.

    Args:
        predicted: The class that it is taken for.
        features: By which images are compared.
        nearest: How far the nearest training image is, in shares of the range of a pixel.
    """

    predicted: str
    features: tuple[float, ...]
    nearest: float


@dataclass(frozen=True, kw_only=True)
class MadeImage:
    """An image from noise.

    Args:
        pixels: `(height, width, channels)`.
        label: The class asked for.
        seed: Of the noise.
        scores: What the evaluator says of it.
        original: What it sees in the held-out image of the example; `None` where there is none.
    """

    pixels: NDArray[np.uint8]
    label: str
    seed: int
    scores: ImageScores
    original: ImageScores | None

    def __str__(self) -> str:
        return (
            f"{self.label}:{self.seed}, predicted {self.scores.predicted}, "
            f"nearest training image at {self.scores.nearest:.3f}"
        )

    def plain(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "label": self.label,
            "seed": self.seed,
            "predicted": self.scores.predicted,
            "nearest": self.scores.nearest,
            "pixels": self.pixels.tolist(),
        }


def read_images(
    source: Source,
    examples: Sequence[ImageReference],
    labels: Sequence[str],
    shape: tuple[int, int, int] | None = None,
    *,
    flip: bool = False,
) -> LabelledImages:
    """Read the images that examples refer to.

    Args:
        source: Where they are.
        examples: Those without a file are black.
        labels: All classes, in the order of their numbers.
        shape: Height, width and channels that all must have; `None` means those of the first.
        flip: Are half of them to be mirrored in training?

    Raises:
        DataError: There is none, an image is not square or of another shape, or a label is unknown.
    """
    known = np.array([bool(each.file) for each in examples], bool)
    found = source.load([each for each in examples if each.file]) if known.any() else None
    if shape is None:
        if found is None:
            raise DataError("images must be given to learn from, got none")
        shape = found.shape[1:]
    if (found is not None and found.shape[1:] != shape) or shape[0] != shape[1]:
        got = shape if found is None else found.shape[1:]
        raise DataError(f"images must be square and as large as in training, {shape}, got {got}")
    pixels = np.zeros((len(examples), *shape), np.uint8)
    if found is not None:
        pixels[known] = found
    numbers = {label: number for number, label in enumerate(labels)}
    for example in examples:
        if example.label not in numbers:
            raise DataError(
                f"{example.file}, image {example.index}, must show one of {', '.join(labels)}, "
                f"got {example.label}"
            )
    return LabelledImages(
        pixels=pixels,
        labels=np.array([numbers[each.label] for each in examples], np.int64),
        seeds=np.array([each.seed for each in examples], np.int64),
        known=known,
        flip=flip,
    )


def image_metrics() -> tuple[Metric, ...]:
    """Return what made images are judged by, beside the held-out images of their examples.

    `frechet` compares features of the training's own classifier. `class_accuracy` is the share that
    is predicted the class asked for. `novelty` is how far the nearest training image is, in shares
    of how far it is from held-out images: far below 1, images are learned by heart.
    """
    distance = frechet_distance()

    def frechet(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        seen, original = _both(answers)
        return distance.statistics(seen, original)

    def novelty(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        seen, original = _both(answers)
        return per_example(
            [each.nearest for each in seen], [max(each.nearest, 1e-9) for each in original]
        )

    return (
        replace(distance, of=frechet),
        accuracy(name="class_accuracy", answer=attrgetter("scores.predicted")),
        SumMetric(name="novelty", of=novelty),
    )


def _both(answers: Sequence[MadeImage]) -> tuple[list[ImageScores], list[ImageScores]]:
    originals = [answer.original for answer in answers if answer.original is not None]
    if len(originals) < len(answers):
        raise DataError(
            "every image made must have a held-out one that it is compared with, got "
            f"{len(answers) - len(originals)} without"
        )
    return [answer.scores for answer in answers], originals
