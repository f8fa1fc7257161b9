"""Which number was dialled? Self-attention on and off, CTC and decoder, and loud segments."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import sklearn
from heedful.bench.entries.classify_speech import span_means
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.load_sounds import draw_tones
from heedful.data.sounds import SoundReference
from heedful.tasks.base import Task

LOUD = (0.3, 0.4, 0.5, 0.6, 0.7)  # from the quiet to the loud frames of a sound
GAP, SHORTEST = 4, 5  # frames: of a pause within a segment, of a segment


def nothing(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Write nothing."""
    return [SimpleNamespace(text="")] * len(splits.test)


def segments_of(features: Any, loud: float) -> list[Any]:
    """Return the loud stretches of a sound: where the mean of all bands is above a limit.

    Args:
        features: `(frames, bands)`.
        loud: How far the limit is from the quiet frames to the loud ones.
    """
    level: NDArray[np.float64] = features.mean(1)
    low, high = np.percentile(level, [10, 95])
    places = np.flatnonzero(level > low + loud * (high - low))
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > GAP) + 1
    bounds = [(part[0], part[-1] + 1) for part in np.split(places, cuts)]
    return [features[start:end] for start, end in bounds if end - start >= SHORTEST]


def segments(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Write what support vectors hear in each loud stretch.

    They learn from training sounds that have as many stretches as words, or characters; how loud
    is loud is chosen on the dev split, by how many of its sounds have as many.
    """
    words = task.config.tokens.kind == "words"
    parts = {name: _features(task, part) for name, part in vars(splits).items()}
    texts = {
        name: [each.label.split() if words else list(each.label) for each in part]
        for name, part in vars(splits).items()
    }
    loud = max(LOUD, key=lambda share: len(_matched(parts["dev"], texts["dev"], share)))
    found = _matched(parts["train"], texts["train"], loud)
    if len({label for _, label in found}) < 2:
        return nothing(task, splits)
    rows, labels = zip(*found, strict=True)
    scaler = sklearn("preprocessing").StandardScaler().fit(np.stack(rows))
    model = sklearn("svm").SVC(C=10.0).fit(scaler.transform(np.stack(rows)), labels)
    answers: list[Any] = []
    for features in parts["test"]:
        heard = [span_means(each) for each in segments_of(features, loud)]
        said = model.predict(scaler.transform(np.stack(heard))).tolist() if heard else []
        answers.append(SimpleNamespace(text=(" " if words else "").join(said)))
    return answers


def from_abroad(config: Any) -> list[SoundReference]:
    """Numbers on a line that no training has heard."""
    data = config.data
    return draw_tones(
        300, lines=["abroad"], lengths=data.lengths, rate=data.rate, seed=config.seed + 1
    )


def _features(task: Task[Any, Any], examples: Sequence[Any]) -> list[Any]:
    return list(task.encode(examples).features)  # type: ignore[attr-defined]


def _matched(
    sounds: Sequence[Any], texts: Sequence[Sequence[str]], loud: float
) -> list[tuple[Any, str]]:
    """Segments and labels of the sounds that have as many of these as of those."""
    found: list[tuple[Any, str]] = []
    for features, text in zip(sounds, texts, strict=True):
        heard = segments_of(features, loud)
        if len(heard) == len(text):
            found += zip(map(span_means, heard), text, strict=True)
    return found


ENTRY = Entry(
    metric="character_error_rate",
    models={
        "self-attention, CTC and decoder": {},
        "convolutions, CTC and decoder": {"model": {"attention": False}},
    },
    baselines={"nothing": nothing, "loud segments + support vectors": segments},
    data="numbers dialled on a telephone, with noise",
    shift=("another line", from_abroad),
    budget="character_error_rate 2",
)
