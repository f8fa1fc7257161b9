"""Baselines of sequences: counts of letters, and the weights that the motifs were drawn from."""

import numpy as np
import pytest

from heedful.bench.entries.classify_sequence import ENTRY, letter_counts, true_weights
from heedful.data.sequences import Sequence
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_sequence.task import ClassifySequence


def made(**data):
    sizes = {"examples": 900, "dev": 300, "test": 300, "length": 50}
    config = parse_config({"task": "classify-sequence", "data": {**sizes, **data}})
    splits = ClassifySequence.read(config)
    return ClassifySequence.fit(config, splits.train), splits


def test_letters_are_counted_together():
    counts = letter_counts(None, [Sequence("ACGTACG"), Sequence("TTTTTTTT")])
    assert counts.shape == (2, 4 + 16 + 64 + 256)
    assert counts[0, :4] * 7 == pytest.approx([2, 2, 2, 1])
    assert counts[0, 4 + 4] * 7 == pytest.approx(2)  # AC stands twice
    assert counts[1].sum() * 8 == pytest.approx(8 + 7 + 6 + 5)


@pytest.mark.parametrize("strands", ["one", "both"])
def test_the_true_weights_find_most_motifs(strands):
    task, splits = made(strands=strands)
    answers = true_weights(task, splits)
    right = [a.label == e.label for a, e in zip(answers, splits.test, strict=True)]
    assert np.mean(right) > 0.6


def test_what_comes_from_elsewhere_has_more_of_g_and_c():
    task, splits = made()
    name, other = ENTRY.shift
    found = other(task.config)
    shares = [
        np.mean([c in "GC" for e in part for c in e.letters]) for part in (splits.test, found)
    ]
    assert name == "20 % more G and C"
    assert 0.1 < shares[1] - shares[0] < 0.3
    assert {each.label for each in found} == set(task.labels)
