"""The baselines of fusion read what there is, and the shift is a worse line."""

import pytest

from heedful.bench.entries.fuse import ENTRY, abroad, features
from heedful.data.examples import Splits
from heedful.tasks.catalog import parse_config
from heedful.tasks.fuse.observations import Observation
from heedful.tasks.fuse.task import Fuse

pytest.importorskip("sklearn", reason="the extra images is not installed")


def test_the_classical_baseline_learns_from_all_three():
    """Each of four labels is known by one of three things alone, or by none of them."""
    kinds = {
        "seen": Observation(image="digit:7:0", sound="tones:5", text="x", label="seen"),
        "heard": Observation(image="digit:1:0", sound="tones:8", text="x", label="heard"),
        "read": Observation(image="digit:1:0", sound="tones:5", text="y", label="read"),
        "none": Observation(image="digit:1:0", sound="tones:5", text="x", label="none"),
    }
    known = [*kinds.values()] * 3
    splits = Splits(train=[*known, kinds["none"]], dev=known, test=[*kinds.values()])
    task = Fuse.fit(parse_config({"task": "fuse"}), splits.train)
    trivial, classical = (
        [each.label for each in answers(task, splits)] for answers in ENTRY.baselines.values()
    )
    assert trivial == ["none"] * 4
    assert classical == [*kinds]
    assert len(features(task, known)) == 12


def test_the_shift_is_to_a_line_that_training_does_not_have():
    config = parse_config({"task": "fuse", "data": {"test": 5, "dev": 5}})
    examples = abroad(config)
    assert len(examples) == 5
    assert all(":abroad:" in each.sound for each in examples)
