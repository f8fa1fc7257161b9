"""Where to does a digit drift? Attention over time, none, and one frame; and correlations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import logistic_regression, most_frequent
from heedful.bench.entry import Entry
from heedful.tasks.base import Task


def correlations(task: Task[Any, Any], examples: Sequence[Any]) -> NDArray[np.float64]:
    """Return how alike each frame is to the one before, moved in every way: the mean of a video.

    The circular cross-correlation, by the Fourier transform; what moves has its place there.
    """
    data: Any = task.encode(examples)
    frames = np.fft.fft2(data.pixels[..., 0].astype(np.float64) / 255)
    alike = np.fft.ifft2(frames[:, 1:] * frames[:, :-1].conj()).real
    return alike.mean(1).reshape(len(data), -1)


ENTRY = Entry(
    metric="accuracy",
    models={
        "attention over space and time": {},
        "attention over space, mean over time": {"model": {"time": "mean"}},
        "attention over space, one frame": {"model": {"frames": 1}},
    },
    baselines={
        "most frequent label": most_frequent,
        "logistic regression on correlations": logistic_regression(correlations),
    },
    data="moving digits, eight directions",
    budget="accuracy 3",
)
