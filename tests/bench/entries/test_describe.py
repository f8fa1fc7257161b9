"""What needs no network describes the plainest images."""

from heedful.bench.entries.describe import ENTRY, features, unseen
from heedful.data.examples import Splits
from heedful.data.scenes import parse_scene, part_of
from heedful.tasks.catalog import parse_config
from heedful.tasks.describe.captions import Captioned
from heedful.tasks.describe.task import Describe


def scenes(colours, noise):
    """One object of one kind in one place: its sentence is that of its colour."""
    return [
        Captioned(f"scene: large {colour} square at 24,24; noise {noise + row}", f"a {colour} one")
        for row in range(6)
        for colour in colours
    ]


def test_baselines_learn():
    config = parse_config({"task": "describe"})
    known = scenes(["red", "green", "blue", "red"], 0)
    splits = Splits(train=known, dev=known[:4], test=scenes(["blue", "green"], 9))
    task = Describe.fit(config, splits.train)
    trivial, near, linear = (
        [each.text for each in answers(task, splits)] for answers in ENTRY.baselines.values()
    )
    assert set(trivial) == {"a red one"}
    assert near == linear == [each.caption for each in splits.test]
    assert features(task, known).shape == (24, 12 * 12 * 3 + 1)


def test_the_shift_is_to_colours_that_no_training_image_has():
    config = parse_config({"task": "describe", "data": {"test": 7}})
    examples = unseen(config)
    assert len(examples) == 7
    assert {part_of(parse_scene(each.image).things) for each in examples} == {"unseen"}
