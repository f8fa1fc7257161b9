"""Splits of images: what is held out, from which files."""

import re
import struct

import numpy as np
import pytest

from heedful.data.images import DIGITS, Source
from heedful.data.load_images import (
    DigitsData,
    FolderData,
    IdxData,
    load_images,
    problem_of,
    source_of,
)
from heedful.errors import ConfigError, DataError


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    for name, count in (("train", 20), ("test", 5)):
        for kind, array in (
            ("images", draw.integers(0, 256, (count, 2, 2), np.uint8)),
            ("labels", draw.integers(0, 10, count, np.uint8)),
        ):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (tmp_path / f"{name}-{kind}").write_bytes(head + array.tobytes())
    return tmp_path


def idx(files, **more):
    return IdxData(train=f"{files}/train-images", train_labels=f"{files}/train-labels", **more)


def test_the_dev_split_is_taken_out_of_the_training_files(files):
    splits = load_images(idx(files, dev_examples=6), seed=3)
    train, dev = ([each.index for each in split] for split in (splits.train, splits.dev))
    assert len(dev) == 6
    assert sorted(train + dev) == [*range(20)]
    assert train == sorted(train)
    assert splits.test == []
    assert load_images(idx(files, dev_examples=6), seed=3) == splits
    assert load_images(idx(files, dev_examples=6), seed=4).dev != splits.dev


def test_the_test_split_has_files_of_its_own(files):
    data = idx(
        files, dev_examples=6, test=f"{files}/test-images", test_labels=f"{files}/test-labels"
    )
    test = load_images(data, seed=3).test
    assert [(each.file, each.index) for each in test] == [
        (f"{files}/test-images", index) for index in range(5)
    ]
    assert source_of(data).load(test).shape == (5, 2, 2, 1)


def test_a_test_split_of_another_size_is_refused(files):
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 1, 4)
    (files / "test-images").write_bytes(head + bytes(20))
    data = idx(files, test=f"{files}/test-images", test_labels=f"{files}/test-labels")
    message = "as large as those of data.train, (2, 2, 1), got (1, 4, 1)"
    with pytest.raises(DataError, match=re.escape(message)):
        load_images(data, seed=3)


def test_digits_leave_both_splits_out():
    pytest.importorskip("sklearn")
    splits = load_images(DigitsData(dev=10, test=20), seed=0)
    indices = [each.index for split in (splits.train, splits.dev, splits.test) for each in split]
    assert sorted(indices) == [*range(1797)]
    assert (len(splits.dev), len(splits.test)) == (10, 20)


def test_few_images_are_enough_where_nobody_says_how_many_are_held_out(files):
    splits = load_images(idx(files), seed=0)
    assert (len(splits.train), len(splits.dev)) == (18, 2)


def test_an_image_must_be_left_to_learn_from(files):
    want = "the dev split must leave an image of each label to learn from, got 20 of 20 with"
    with pytest.raises(DataError, match=re.escape(want)):
        load_images(idx(files, dev_examples=20), seed=0)


def test_sections_say_where_images_are(files):
    assert source_of(DigitsData()) == Source(DIGITS)
    folder = FolderData(train="here", test="there", size=20, colour=False)
    assert source_of(folder) == Source("here", size=20, channels=1)
    assert source_of(folder, test=True) == Source("there", size=20, channels=1)


def test_labels_must_come_with_test_images(files):
    assert problem_of(DigitsData()) is None
    assert problem_of(idx(files)) is None
    problem = problem_of(idx(files, test="images"))
    assert problem == (
        "data.test and data.test_labels must be given together, got 'images' and None"
    )


def test_a_label_of_one_image_is_learned_from(files):
    head = bytes([0, 0, 8, 1]) + struct.pack(">I", 20)
    (files / "train-labels").write_bytes(head + bytes([7] + 19 * [3]))
    for seed in range(10):
        assert 0 in [each.index for each in load_images(idx(files, dev_examples=18), seed).train]
    with pytest.raises(DataError, match="leave an image of each label to learn from"):
        load_images(idx(files, dev_examples=19), seed=0)


def test_images_that_no_memory_could_hold_are_refused():
    with pytest.raises(ConfigError, match="size must be at most 4096, got 4097"):
        FolderData(train="here", size=4_097)
