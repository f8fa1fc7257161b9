"""Which site is in this DNA? Convolutions under attention, counts of letters, true weights."""

from collections.abc import Sequence as Many
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.bench.baselines import logistic_regression, most_frequent
from heedful.bench.entry import Entry
from heedful.data.examples import Splits
from heedful.data.sequences import Sequence
from heedful.tasks.classify_sequence.motifs import (
    LETTERS,
    MOTIFS,
    NONE,
    background,
    planted_motifs,
    reverse_complement,
)

Floats = NDArray[np.float64]
LONGEST = 4  # letters that are counted together
FEW = 0.001  # share added to weights, so that none is 0
SHIFTS = np.arange(-3, 3.1, 0.25)  # of the score of no motif at all


def letter_counts(task: Any, examples: Many[Sequence]) -> Floats:
    """Return how often all runs of up to four letters stand in each sequence, per letter of it."""
    counts = np.zeros((len(examples), sum(4**size for size in range(1, LONGEST + 1))))
    for row, example in enumerate(examples):
        letters = _numbers(example.letters)
        first = 0
        for size in range(1, LONGEST + 1):
            runs = np.lib.stride_tricks.sliding_window_view(letters, size)
            found = runs @ 4 ** np.arange(size)
            counts[row, first : first + 4**size] = np.bincount(found, minlength=4**size)
            first += 4**size
        counts[row] /= len(letters)
    return counts


def true_weights(task: Any, splits: Splits[Sequence]) -> list[Any]:
    """Answer with the motif whose weights speak most for some place; what the others aim at.

    The likelihood of each motif against the background, its mean over places; that of none is a
    number chosen on the dev split.
    """
    names = [*MOTIFS, NONE]
    both = task.config.data.strands == "both"
    dev, test = (_scores(part, both=both) for part in (splits.dev, splits.test))
    right = np.array([names.index(each.label) for each in splits.dev])

    def answers(scores: Floats, shift: float) -> NDArray[np.int64]:
        return np.hstack([scores, np.full((len(scores), 1), shift)]).argmax(1)

    best = max(SHIFTS, key=lambda shift: (answers(dev, shift) == right).mean())
    return [SimpleNamespace(label=names[each]) for each in answers(test, best)]


def other_composition(config: Any) -> list[Sequence]:
    """Make sequences with more of G and C than any that was learned from has on average."""
    data = config.data.model_copy(
        update={"gc": min(0.84, config.data.gc + 0.2), "examples": 3_000, "test": 1_000}
    )
    return planted_motifs(data, config.seed + 1).test


def _numbers(letters: str) -> NDArray[np.int64]:
    """Numbers of A, C, G, T; any other letter counts as the first one."""
    return np.array([max(LETTERS.find(letter), 0) for letter in letters])


def _scores(examples: Many[Sequence], *, both: bool) -> Floats:
    """Logarithms of likelihood ratios, `(sequences, motifs)`."""
    found: list[list[float]] = []
    for example in examples:
        strands = [example.letters, reverse_complement(example.letters)][: 1 + both]
        gc = np.mean([letter in "CG" for letter in example.letters])
        odds = [np.log((w + FEW) / background(float(gc))) for w in MOTIFS.values()]
        ratios = [[_ratio(_numbers(strand), each) for strand in strands] for each in odds]
        found.append([float(np.logaddexp.reduce(each)) - np.log(1 + both) for each in ratios])
    return np.array(found)


def _ratio(letters: NDArray[np.int64], odds: Floats) -> float:
    windows = np.lib.stride_tricks.sliding_window_view(letters, len(odds))
    sums = odds[np.arange(len(odds)), windows].sum(1)
    return float(np.logaddexp.reduce(sums) - np.log(len(sums)))


ENTRY = Entry(
    metric="accuracy",
    models={
        "CNN + self-attention + attention pooling": {},
        "CNN + attention pooling": {"model": {"layers": 0}},
        "CNN, largest": {"model": {"layers": 0, "pooling": "max"}},
        "CNN, mean": {"model": {"layers": 0, "pooling": "mean"}},
    },
    baselines={
        "most frequent label": most_frequent,
        "4-mers + logistic regression": logistic_regression(letter_counts),
        "true weights": true_weights,
    },
    data="promoter and splice sites in random DNA",
    budget="accuracy 1",
    shift=("20 % more G and C", other_composition),
)
