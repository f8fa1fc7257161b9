"""Classical baselines hear tones better than guessing does; the shift is another line."""

import numpy as np
import pytest

from heedful.bench.entries.classify_speech import ENTRY, band_means, band_spans
from heedful.data.examples import Splits
from heedful.data.load_sounds import draw_tones
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_speech.task import ClassifySpeech

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.fixture(scope="module")
def splits():
    made = draw_tones(100, lines=["desk"], keys="19", seed=3)
    return Splits(train=made[:60], dev=made[60:75], test=made[75:])


@pytest.fixture(scope="module")
def task(splits):
    return ClassifySpeech.fit(parse_config({"task": "classify-speech"}), splits.train)


def test_classical_baselines_learn(task, splits):
    right = [
        np.mean(
            [a.label == e.label for a, e in zip(answers(task, splits), splits.test, strict=True)]
        )
        for answers in ENTRY.baselines.values()
    ]
    assert right[0] < 0.7
    assert min(right[1:]) > 0.75


def test_features_are_means_over_time(task, splits):
    features = task.encode(splits.test[:2]).features
    means, spans = (each(task, splits.test[:2]) for each in (band_means, band_spans))
    assert means.shape == (2, 80)
    np.testing.assert_allclose(means[1, :40], features[1].mean(0), atol=1e-5)
    assert spans.shape == (2, 8 * 40 + 1)
    np.testing.assert_allclose(spans[0, :40], features[0][: len(features[0]) // 8].mean(0), atol=1)
    assert spans[0, -1] == pytest.approx(np.log(len(features[0])))


def test_the_shift_is_a_line_that_no_training_hears(task):
    name, make = ENTRY.shift
    examples = make(task.config)
    assert (name, len(examples)) == ("another line", 600)
    assert {each.speaker for each in examples} == {"abroad"}
