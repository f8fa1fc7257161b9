"""A threshold finds bright shapes, a forest more of the discs, and every pixel is too much."""

import numpy as np
import pytest

from heedful.bench.entries import segment
from heedful.bench.entries.segment import ENTRY, otsu_threshold, surroundings
from heedful.data.shapes import NOISIER
from heedful.tasks.segment.config import Config, ShapesData
from heedful.tasks.segment.task import Segment

pytest.importorskip("sklearn", reason="the extra images is not installed")
CONFIG = Config(data=ShapesData(examples=60, dev=5, test=15))


def test_baselines_are_what_their_names_say(monkeypatch):
    monkeypatch.setattr(segment, "TREES", 10)
    monkeypatch.setattr(segment, "PIXELS", 4_000)
    splits = Segment.read(CONFIG)
    task = Segment.fit(CONFIG, splits.train)
    metric = Segment.metric(ENTRY.metric)
    scores = {}
    for name, baseline in ENTRY.baselines.items():
        answers = baseline(task, splits)
        assert len(answers) == len(splits.test)
        scores[name] = metric.score(metric.statistics(answers, splits.test))
    trivial, threshold, forest = scores.values()
    held = task.encode(splits.test).segments.masks
    assert trivial == pytest.approx(100 * held.mean())
    assert trivial + 3 < threshold < forest


def test_otsu_parts_two_heaps():
    grey = np.array([[10.0, 12, 11], [200, 205, 11]])
    assert 12 <= otsu_threshold(grey) < 200
    steps = [np.inf] * 256  # brute force: the least variance within both sides
    for place in range(256):
        sides = grey[grey <= place], grey[grey > place]
        steps[place] = sum(side.var() * side.size for side in sides if side.size)
    assert steps[int(otsu_threshold(grey))] == pytest.approx(min(steps))
    assert otsu_threshold(np.full((2, 2), 7.0)) >= 0


def test_a_pixel_sees_nothing_far_away():
    image = np.zeros((40, 40, 1), np.uint8)
    image[0, 0] = 255
    other = image.copy()
    other[39, 39] = 255
    assert surroundings(image).shape == (1600, 10)
    near = np.abs(surroundings(image) - surroundings(image)[820]).max(1)
    assert near[0] > 10 * near[819]


def test_what_comes_from_elsewhere_has_its_truth():
    name, shift = ENTRY.shift
    examples = shift(CONFIG)
    assert (name, len(examples)) == ("more noise", 15)
    assert {each.file for each in examples} == {NOISIER}
    assert all(each.mask_hash for each in examples)
