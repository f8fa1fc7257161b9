"""Parts above a threshold find some digits, and one box in the middle next to none."""

import numpy as np
import pytest

from heedful.bench.entries.detect import ENTRY, crop
from heedful.data.canvases import CROWDED
from heedful.tasks.detect.config import Config, DigitsData
from heedful.tasks.detect.task import Detect

pytest.importorskip("sklearn", reason="the extra images is not installed")
CONFIG = Config(data=DigitsData(train=80, dev=5, test=40))


def test_baselines_are_what_their_names_say():
    splits = Detect.read(CONFIG)
    task = Detect.fit(CONFIG, splits.train)
    scores = {}
    for name, baseline in ENTRY.baselines.items():
        answers = baseline(task, splits)
        assert len(answers) == 40
        for metric in ("ap50", "recall50"):
            found = Detect.metric(metric)
            scores[name, metric] = found.score(found.statistics(answers, splits.test))
    trivial, sharp, classical, all_found = scores.values()
    assert trivial <= sharp < 5
    assert classical > 10
    assert all_found > classical


def test_with_one_label_nothing_is_to_be_told():
    splits = Detect.read(CONFIG)
    task = Detect.fit(CONFIG, splits.train)
    few = [each for each in splits.train if len({box.label for box in each.boxes}) == 1]
    label = few[0].boxes[0].label
    same = [each for each in few if each.boxes[0].label == label]
    one = Detect(CONFIG, [label], task.frame)
    splits = type(splits)(train=same, dev=[], test=same[:3])
    answers = ENTRY.baselines["parts above Otsu's threshold"](one, splits)
    assert {box.label for answer in answers for box in answer.boxes} == {label}


def test_a_crop_is_what_is_in_the_box():
    grey = np.zeros((20, 30))
    grey[4:12, 10:14], grey[4:12, 14:18] = 50, 200
    found = crop(grey, 10, 4, 8, 8).reshape(8, 8)
    assert (found[:, :4] < 0).all()
    assert (found[:, 4:] > 0).all()
    assert found.mean() == pytest.approx(0)


def test_what_comes_from_elsewhere_has_more_in_it():
    name, shift = ENTRY.shift
    examples = shift(CONFIG)
    assert (name, len(examples)) == ("more digits, more noise", 40)
    assert {each.file for each in examples} == {CROWDED}
    usual = Detect.read(CONFIG).test
    more, fewer = (np.mean([len(each.boxes) for each in part]) for part in (examples, usual))
    assert more > fewer + 0.7
