"""Which key was dialled? Attention over frames on and off, and support vectors on bands."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from heedful.bench.baselines import logistic_regression, most_frequent, sklearn
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.load_sounds import draw_tones
from heedful.data.sounds import SoundReference
from heedful.tasks.base import Task

SPANS = 8  # of time, in which the classical baseline hears a sound
PENALTIES = (1.0, 10.0, 100.0)


def band_means(task: Task[Any, Any], examples: Sequence[Any]) -> Any:
    """Mean and deviation of each band over time."""
    found = task.encode(examples)
    return np.stack([np.concatenate([x.mean(0), x.std(0)]) for x in found.features])  # type: ignore[attr-defined]


def band_spans(task: Task[Any, Any], examples: Sequence[Any]) -> Any:
    """The mean of each band in each of eight spans of time, and the length of the sound."""
    found = task.encode(examples)
    return np.stack([span_means(features) for features in found.features])  # type: ignore[attr-defined]


def support_vectors(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with support vectors on `band_spans`, their penalty chosen on the dev split."""
    scaler = sklearn("preprocessing").StandardScaler().fit(band_spans(task, splits.train))
    train, dev, test = (
        scaler.transform(band_spans(task, part)) for part in (splits.train, splits.dev, splits.test)
    )
    labels, right = ([each.label for each in part] for part in (splits.train, splits.dev))
    learn = sklearn("svm").SVC
    models = [learn(C=penalty).fit(train, labels) for penalty in PENALTIES]
    best = max(models, key=lambda model: model.score(dev, right))
    return [SimpleNamespace(label=label) for label in best.predict(test).tolist()]


def from_abroad(config: Any) -> list[SoundReference]:
    """Tones on a line that no training has heard."""
    return draw_tones(600, lines=["abroad"], rate=config.data.rate, seed=config.seed + 1)


def span_means(features: Any) -> Any:
    """The mean of each band in each of eight spans of time, and how long it is."""
    frames = len(features)
    edges = np.linspace(0, frames, SPANS + 1)
    rows = [
        features[int(low) : max(int(low) + 1, int(high))].mean(0)
        for low, high in zip(np.minimum(edges[:-1], frames - 1), edges[1:], strict=True)
    ]
    return np.concatenate([*rows, [np.log(frames)]])


OFF = {"attention": False, "pooling": "mean"}
ENTRY = Entry(
    metric="accuracy",
    models={
        "self-attention + attention pooling": {},
        "self-attention + mean": {"model": {"pooling": "mean"}},
        "convolutions + mean": {"model": OFF},
    },
    baselines={
        "most frequent label": most_frequent,
        "band means + logistic regression": logistic_regression(band_means),
        "8 spans of bands + support vectors": support_vectors,
    },
    data="tones of a telephone keypad, with noise",
    shift=("another line", from_abroad),
    budget="accuracy 1",
)
