"""Splits by content: nothing is twice, nothing is in two, and the order of a file is nothing."""

import random

import pytest

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.splits import split_examples
from heedful.errors import DataError

MOST = {"calibration": 1_000, "dev": 1_000, "test": 1_000}


def examples(count, start=0):
    return [CheckpointExample(text=str(number)) for number in range(start, start + count)]


def identity(example):
    return example.text


def parts(found):
    return [{x.text for x in part} for part in (found.calibration, found.dev, found.test)]


def test_content_alone_decides():
    given = examples(1_000)
    found = split_examples(given, identity, most=MOST)
    again = random.Random(0).sample(given, len(given))
    assert parts(split_examples(again, identity, most=MOST)) == parts(found)
    assert parts(split_examples(given, identity, most=MOST, seed=1)) != parts(found)
    calibration, dev, test = parts(found)
    assert len(calibration | dev | test) == 1_000
    assert 100 < len(dev) < 200 < 250 < len(test) < 350


def test_repeated_examples_are_left_out_and_counted():
    found = split_examples(examples(500) + examples(20), identity, most=MOST)
    assert found.repeated == 20
    assert sum(map(len, parts(found))) == 500


def test_a_test_file_keeps_its_examples_to_itself():
    judged = examples(60, start=280) + examples(1, start=280)
    found = split_examples(examples(300), identity, test=judged, most=MOST)
    calibration, dev, test = parts(found)
    assert test == {str(number) for number in range(280, 340)}
    assert calibration | dev == {str(number) for number in range(280)}
    assert found.repeated == 21  # twenty of the file, and one of the test file itself


def test_more_than_enough_is_spared():
    most = {"calibration": 100, "dev": 50, "test": 70}
    found = split_examples(examples(1_000), identity, most=most)
    assert [len(part) for part in parts(found)] == [100, 50, 70]
    assert sum(found.spare.values()) == 780


def test_too_few_examples_are_refused_with_their_number():
    must = r"data must have about 300 examples, 30 for each split, got 1 different ones: "
    with pytest.raises(DataError, match=must):
        split_examples(examples(1), identity, most=MOST)
    with pytest.raises(DataError, match=r"got 40 different ones and 40 that repeat others: "):
        split_examples(examples(40) * 2, identity, most=MOST)
