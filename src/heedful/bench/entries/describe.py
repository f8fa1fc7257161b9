"""Scenes in sentences: attention to places, the mean of all, and what needs no network."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.ragged import Ragged
from heedful.data.tokens import EOS, PAD
from heedful.tasks.base import Task
from heedful.tasks.describe.captions import Captioned, drawn, load_pixels

SIDE = 12  # places a side at which simple models look
STRENGTHS = (1.0, 10.0, 100.0)  # of the regularisation


def most_frequent(task: Task[Any, Any], splits: Splits[Captioned]) -> list[Any]:
    """Answer with the sentence that the training split has most often."""
    caption = Counter(each.caption for each in splits.train).most_common(1)[0][0]
    return [SimpleNamespace(text=caption)] * len(splits.test)


def nearest(task: Task[Any, Any], splits: Splits[Captioned]) -> list[Any]:
    """Answer with the sentence of the training image that is most like the image."""
    known, asked = (features(task, part) for part in (splits.train, splits.test))
    away = (known**2).sum(1) - 2 * asked @ known.T
    return [SimpleNamespace(text=splits.train[row].caption) for row in away.argmin(1).tolist()]


def word_by_word(task: Any, splits: Splits[Captioned]) -> list[Any]:
    """Answer with a linear model for every place of the sentence, each on its own."""
    parts = [features(task, part) for part in (splits.train, splits.dev, splits.test)]
    train, dev = (_words(task, part) for part in (splits.train, splits.dev))
    wide = max(train.shape[1], dev.shape[1])
    train, dev = (np.pad(each, ((0, 0), (0, wide - each.shape[1]))) for each in (train, dev))
    hot = np.eye(task.vocabulary.size)[train].reshape(len(train), -1)
    squares, products = parts[0].T @ parts[0], parts[0].T @ hot
    best, said = -1.0, np.zeros((0, wide), np.int64)
    for strength in STRENGTHS:
        weights = np.linalg.solve(squares + strength * np.eye(len(squares)), products)
        guesses = [(part @ weights).reshape(len(part), wide, -1).argmax(-1) for part in parts[1:]]
        right = float((guesses[0] == dev).mean())
        if right > best:
            best, said = right, guesses[1]
    texts = task.vocabulary.decode([[*row, EOS] for row in said.tolist()])
    return [SimpleNamespace(text=text.strip()) for text in texts]


def features(task: Task[Any, Any], examples: Sequence[Captioned]) -> NDArray[np.float64]:
    """Return images as the means of 12 x 12 places, and a one."""
    pixels = load_pixels(examples, task.config.data) / 255.0
    for axis in (1, 2):
        size = pixels.shape[axis]
        edges = np.unique(np.arange(SIDE) * size // SIDE)
        counts = np.diff([*edges, size]).reshape([-1 if a == axis else 1 for a in range(4)])
        pixels = np.add.reduceat(pixels, edges, axis=axis) / counts
    flat = pixels.reshape(len(pixels), -1)
    return np.hstack([flat, np.ones((len(flat), 1))])


def unseen(config: Any) -> list[Captioned]:
    """Return scenes with a shape in a colour in which no training image has it."""
    return drawn(config.data, "unseen", config.data.test, config.seed)


def _words(task: Any, examples: Sequence[Captioned]) -> NDArray[np.int64]:
    rows = [row[1:] for row in task.vocabulary.encode([each.caption for each in examples])]
    return Ragged.pack(rows).padded(range(len(rows)), pad=PAD)[0]


ENTRY = Entry(
    metric="exact_match",
    models={
        "attention to cells": {},
        "and self-attention among cells": {"model": {"encoder_layers": 1}},
        "mean of cells": {"model": {"attention": False}},
    },
    baselines={
        "most frequent sentence": most_frequent,
        "sentence of the nearest image": nearest,
        "a linear model for each word": word_by_word,
    },
    data="scenes, unseen combinations",
    shift=("shapes in unseen colours", unseen),
    budget="exact_match 1",
)
