"""Digits on canvases: detectors with attention and without, and parts above a threshold."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import sklearn
from heedful.bench.entries.segment import otsu_threshold
from heedful.bench.entry import Entry
from heedful.data.canvases import CROWDED
from heedful.data.components import parts_of
from heedful.data.examples import Splits
from heedful.tasks.base import Task
from heedful.tasks.detect.examples import Boxed, canvases
from heedful.tasks.detect.images import BoxedImages, Detection, Found, Truth
from heedful.tasks.detect.task import Detect

CROP = 8  # pixels a side of what the baseline labels
SMALLEST = 4  # pixels of a part that counts
SURE = 20.0  # pixels of a part that is half as sure as one without end


def middle(task: Task[Any, Any], splits: Splits[Any]) -> list[Detection]:
    """Answer with one box in the middle, as large and of the label as most are."""
    boxes = [box for each in splits.train for box in each.boxes]
    label = Counter(box.label for box in boxes).most_common(1)[0][0]
    width, height = (float(np.mean([getattr(b, x) for b in boxes])) for x in ("width", "height"))
    answers: list[Detection] = []
    for lines, columns in _read(task, splits.test).originals:
        place = (columns - width) / 2, (lines - height) / 2
        answers.append(_detection([(1.0, label, (*place, width, height))]))
    return answers


def components(task: Task[Any, Any], splits: Splits[Any]) -> list[Detection]:
    """Answer with the parts on the rarer side of Otsu's threshold of each image.

    The larger a part, the surer it is. Where there are several labels logistic regression tells
    them, of parts as 8 x 8 pixels; it has learned boxes of the training split.
    """
    train, test = _read(task, splits.train), _read(task, splits.test)
    things = train.things(cast(Detect, task).labels)
    labels = [box.label for truth in things for box in truth.boxes]
    learned = _labeller(train, things, labels) if len(set(labels)) > 1 else None
    answers: list[Detection] = []
    for pixels, original in zip(test.pixels, test.originals, strict=True):
        grey = pixels.mean(2)
        above = grey > otsu_threshold(grey)
        mask = above if above.mean() <= 0.5 else ~above
        parts = [part for part in parts_of(mask.astype(np.uint8)) if part.pixels >= SMALLEST]
        crops = np.array([crop(grey, p.x, p.y, p.width, p.height) for p in parts])
        said = learned.predict(crops) if learned and parts else [labels[0]] * len(parts)
        scale = original[1] / grey.shape[1], original[0] / grey.shape[0]
        found = [
            (
                part.pixels / (part.pixels + SURE),
                str(label),
                (
                    part.x * scale[0],
                    part.y * scale[1],
                    part.width * scale[0],
                    part.height * scale[1],
                ),
            )
            for part, label in zip(parts, said, strict=True)
        ]
        answers.append(_detection(found))
    return answers


def crop(
    grey: NDArray[np.float64], x: float, y: float, width: float, height: float
) -> NDArray[np.float64]:
    """Return what is in a box as 8 x 8 numbers of mean 0 and variance 1."""
    rows = np.clip(y + (np.arange(CROP) + 0.5) * height / CROP, 0, grey.shape[0] - 1).astype(int)
    columns = np.clip(x + (np.arange(CROP) + 0.5) * width / CROP, 0, grey.shape[1] - 1).astype(int)
    found = grey[np.ix_(rows, columns)].ravel()
    return (found - found.mean()) / (found.std() + 1)


def crowded(config: Any) -> list[Boxed]:
    """Return canvases with more digits and more noise."""
    return canvases(CROWDED, config.data.test, config.seed)


def _read(task: Task[Any, Any], examples: Sequence[Any]) -> BoxedImages:
    return cast(BoxedImages, task.encode(examples))


def _labeller(train: BoxedImages, things: Sequence[Truth], labels: Sequence[str]) -> Any:
    crops: list[NDArray[np.float64]] = []
    for pixels, truth, original in zip(train.pixels, things, train.originals, strict=True):
        grey = pixels.mean(2)
        across, along = grey.shape[1] / original[1], grey.shape[0] / original[0]
        crops += [
            crop(grey, b.x * across, b.y * along, b.width * across, b.height * along)
            for b in truth.boxes
        ]
    return sklearn("linear_model").LogisticRegression(C=0.1, max_iter=300).fit(crops, labels)


def _detection(found: Sequence[tuple[float, str, tuple[float, float, float, float]]]) -> Detection:
    boxes = [
        Found(label=label, x=x, y=y, width=width, height=height, score=score, query=number)
        for number, (score, label, (x, y, width, height)) in enumerate(found)
    ]
    return Detection(tuple(sorted(boxes, key=lambda box: -box.score)), least=0.0)


ENTRY = Entry(
    metric="ap50",
    models={
        "encoder and decoder": {},
        "encoder": {"model": {"decoder_layers": 0}},
        "no attention": {"model": {"encoder_layers": 0, "decoder_layers": 0}},
    },
    baselines={"one box in the middle": middle, "parts above Otsu's threshold": components},
    data="digits on canvases",
    budget="ap50 2",
    shift=("more digits, more noise", crowded),
)
