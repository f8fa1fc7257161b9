"""Discs among other shapes: U-Nets with gates and without, a threshold, a forest of pixels."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import sklearn
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.segments import SHAPES_FRAME, SegmentReference, Segments, refer
from heedful.data.shapes import NOISIER
from heedful.tasks.base import Task
from heedful.tasks.segment.masks import SegmentedImage, SegmentImages

Floats = NDArray[np.float64]
PIXELS = 20_000  # of the training split that a forest learns from
TREES = 50
SCALES = (1.0, 2.0, 4.0)  # of Gaussians, in pixels


def everything(task: Task[Any, Any], splits: Splits[Any]) -> list[SegmentedImage]:
    """Answer that every pixel is looked for."""
    return list(_answers(_read(task, splits.test), np.ones_like))


def otsu(task: Task[Any, Any], splits: Splits[Any]) -> list[SegmentedImage]:
    """Answer with the pixels on the rarer side of Otsu's threshold of each image.

    Source:
        Otsu 1979, "A threshold selection method from gray-level histograms".
    """
    held = _read(task, splits.test)

    def split(grey: Floats) -> NDArray[np.bool_]:
        above = grey > otsu_threshold(grey)
        return above if above.mean() <= 0.5 else ~above

    return list(_answers(held, split))


def forest(task: Task[Any, Any], splits: Splits[Any]) -> list[SegmentedImage]:
    """Answer with a random forest that sees a pixel, and its surroundings at three scales."""
    held = _read(task, splits.train)
    random = np.random.default_rng(0)
    each = max(1, PIXELS // len(held.pixels))
    rows: list[Floats] = []
    labels: list[NDArray[np.uint8]] = []
    for pixels, mask in zip(held.pixels, held.masks, strict=True):
        chosen = random.choice(mask.size, min(each, mask.size), replace=False)
        rows.append(surroundings(pixels)[chosen])
        labels.append(mask.ravel()[chosen])
    kind = sklearn("ensemble").RandomForestClassifier
    learned = kind(n_estimators=TREES, min_samples_leaf=5, class_weight="balanced", random_state=0)
    learned.fit(np.concatenate(rows), np.concatenate(labels))
    test = _read(task, splits.test)
    said = learned.predict(np.concatenate([surroundings(pixels) for pixels in test.pixels]))
    masks = said.reshape(test.masks.shape)
    return [_answer(test, row, mask) for row, mask in enumerate(masks)]


def otsu_threshold(grey: Floats) -> float:
    """Return the grey between 0 and 255 that parts pixels into the two most different sides."""
    counts = np.bincount(grey.astype(np.int64).ravel(), minlength=256).astype(float)
    below = counts.cumsum()
    sums = (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(np.nan_to_num(apart).argmax())


def surroundings(pixels: NDArray[np.uint8]) -> Floats:
    """Return numbers for each pixel: its own, Gaussian means, and how steep and curved these are.

    Args:
        pixels: Of one image, `(height, width, channels)`.
    """
    from scipy import ndimage

    image = (pixels - pixels.mean()) / (pixels.std() + 1)
    found = [image]
    for scale in SCALES:
        sigma = (scale, scale, 0)
        found.append(ndimage.gaussian_filter(image, sigma))
        found.append(ndimage.gaussian_gradient_magnitude(image, sigma))
        found.append(ndimage.gaussian_laplace(image, sigma))
    return np.concatenate(found, axis=2).reshape(pixels.shape[0] * pixels.shape[1], -1)


def noisier(config: Any) -> list[SegmentReference]:
    """Return shapes with twice as much noise and less contrast."""
    files = [(NOISIER, number, NOISIER) for number in range(config.data.test)]
    return refer(files, frame=SHAPES_FRAME, classes=2)


def _read(task: Task[Any, Any], examples: Sequence[Any]) -> Segments:
    return cast(SegmentImages, task.encode(examples)).segments


def _answers(held: Segments, split: Any) -> Iterator[SegmentedImage]:
    for row, pixels in enumerate(held.pixels):
        yield _answer(held, row, split(pixels.mean(2)))


def _answer(held: Segments, row: int, mask: NDArray[Any]) -> SegmentedImage:
    return SegmentedImage(mask.astype(np.uint8), held.originals[row], held.masks[row])


ENTRY = Entry(
    metric="iou",
    models={
        "U-Net with gates and self-attention": {},
        "U-Net with self-attention": {"model": {"gates": False}},
        "U-Net with gates": {"model": {"attention_layers": 0}},
        "U-Net": {"model": {"gates": False, "attention_layers": 0}},
    },
    baselines={"every pixel": everything, "Otsu's threshold": otsu, "forest of pixels": forest},
    data="drawn shapes",
    budget="iou 1",
    shift=("more noise", noisier),
)
