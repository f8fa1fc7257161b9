"""Correlations of frames tell where to a digit drifts."""

import pytest

from heedful.bench.entries.classify_video import ENTRY, correlations
from heedful.data.moving_digits import SPEEDS, STEPS, plan_video
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_video.task import ClassifyVideo

pytest.importorskip("sklearn", reason="the extra images is not installed")
DATA = {"examples": 360, "dev": 40, "test": 40, "noise": 0.0}


@pytest.fixture(scope="module")
def fitted():
    config = parse_config({"task": "classify-video", "data": DATA})
    splits = ClassifyVideo.read(config)
    return ClassifyVideo.fit(config, splits.train), splits


def test_the_classical_baseline_learns(fitted):
    trivial, classical = (
        [each.label for each in answers(*fitted)] for answers in ENTRY.baselines.values()
    )
    assert len(set(trivial)) == 1
    right = [a == b.label for a, b in zip(classical, fitted[1].test, strict=True)]
    assert sum(right) >= 30


def test_the_largest_correlation_is_the_movement(fitted):
    task, splits = fitted
    for example, found in zip(splits.test, correlations(task, splits.test), strict=True):
        plan = plan_video(example.index, size=20)
        step = [SPEEDS[plan.speed] * each % 20 for each in STEPS[plan.direction]]
        assert [*divmod(int(found.argmax()), 20)] == step
