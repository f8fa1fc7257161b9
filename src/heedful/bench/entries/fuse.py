"""Digits seen, heard and read: attention among all tokens, means side by side, each kind alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import logistic_regression, most_frequent
from heedful.bench.entry import Entry
from heedful.tasks.fuse.config import MODALITIES
from heedful.tasks.fuse.observations import Observation, make_digits

PARTS = 4  # of a sound, of each of which the mean is taken


def features(task: Any, examples: Sequence[Observation]) -> NDArray[np.float64]:
    """Return pixels, mean features of each quarter of a sound, and counts of characters."""
    sounds = task.encode(examples).sounds
    columns = sounds.columns.columns
    heard = [
        np.concatenate([part.mean(0) for part in np.array_split(np.repeat(each, PARTS, 0), PARTS)])
        for each in sounds.features
    ]
    text = columns["text"]
    counts = np.zeros((len(examples), task.vocabulary.size))
    np.add.at(counts, (np.repeat(np.arange(len(text)), text.lengths), text.flat), 1)
    pixels = columns["images"].reshape(len(examples), -1) / 255
    return np.hstack([pixels, np.stack(heard), counts])


def abroad(config: Any) -> list[Observation]:
    """Return the test digits on a line with more noise and echo than any in training."""
    return make_digits(config.data.model_copy(update={"lines": ("abroad",)}), config.seed).test


ENTRY = Entry(
    metric="accuracy",
    models={
        "attention among all tokens": {},
        "means side by side": {"model": {"attention": False}},
        **{f"{name} alone": {"model": {"modalities": [name]}} for name in MODALITIES},
    },
    baselines={
        "most frequent label": most_frequent,
        "logistic regression": logistic_regression(features),
    },
    data="digits, tones and words, all with noise",
    shift=("a worse line", abroad),
    budget="accuracy 1",
)
