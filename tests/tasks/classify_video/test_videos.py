"""Videos in splits: no digit is in two of them, and each batch has what rows ask for."""

import re

import numpy as np
import pytest

from heedful.data.moving_digits import count_digits
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_video.videos import Clips, read_splits, reader_of

PIXELS = np.arange(3 * 2 * 4 * 4, dtype=np.uint8).reshape(3, 2, 4, 4, 1) * 2
LABELS = np.array([2, 0, -100])


def of(seed=1, **data):
    return parse_config({"task": "classify-video", "seed": seed, "data": data})


def test_a_batch_has_what_rows_ask_for():
    data = Clips(pixels=PIXELS, labels=LABELS)
    batch = data.batch([2, 0], "cpu")
    assert batch["label"].tolist() == [-100, 2]
    found = (batch["videos"].numpy()[:, :, 0] + 1) * 127.5
    assert np.allclose(found, PIXELS[[2, 0], ..., 0], atol=1e-3)
    assert (len(data), data.sizes.tolist(), data.amounts.tolist()) == (3, [[1]] * 3, [1] * 3)


def test_one_number_changes_with_any_pixel_or_label():
    data = Clips(pixels=PIXELS, labels=LABELS).fingerprint()
    assert Clips(pixels=PIXELS + 1, labels=LABELS).fingerprint() != data
    assert Clips(pixels=PIXELS, labels=LABELS * 2).fingerprint() != data


def test_no_digit_is_in_two_splits():
    pytest.importorskip("sklearn", reason="the extra images is not installed")
    splits = read_splits(of(examples=2_000, dev=30, test=50))
    parts = (splits.train, splits.dev, splits.test)
    assert [len(part) for part in parts] == [1_920, 30, 50]
    digits = [{each.index % count_digits() for each in part} for part in parts]
    assert sum(map(len, digits)) == len(set.union(*digits))
    numbers = [each.index for part in parts for each in part]
    assert len(set(numbers)) == 2_000
    other = read_splits(of(seed=2, examples=2_000, dev=30, test=50))
    assert not {each.index for each in other.test} & set(numbers)


def test_a_split_without_a_digit_is_refused():
    pytest.importorskip("sklearn", reason="the extra images is not installed")
    with pytest.raises(DataError, match="a split of 1 videos must be a larger share"):
        read_splits(of(examples=9_000, dev=1, test=1))


def test_dev_videos_are_taken_out_of_a_file(tmp_path):
    labels = np.array(["a", "b", "a"])
    np.savez(tmp_path / "v.npz", videos=PIXELS, labels=labels)
    path = str(tmp_path / "v.npz")
    splits = read_splits(of(name="npz", train=path, test=path, dev_examples=1))
    assert sorted(each.index for each in (*splits.train, *splits.dev)) == [0, 1, 2]
    assert len(splits.test) == 3
    assert read_splits(of(name="npz", train=path, dev_examples=1)).test == []
    assert len(read_splits(of(name="npz", train=path)).dev) == 1  # a tenth, and one at least
    message = "leave a video of each label to learn from, got 2 of 3 with 2 labels"
    with pytest.raises(DataError, match=re.escape(message)):
        read_splits(of(name="npz", train=path, dev_examples=2))
    with pytest.raises(DataError, match=re.escape(message.replace("got 2", "got 3"))):
        read_splits(of(name="npz", train=path, dev_examples=3))


def test_test_videos_are_as_large_as_those_of_the_training(tmp_path):
    for name, pixels in (("a", PIXELS), ("b", PIXELS[:, :, 1:])):
        np.savez(tmp_path / f"{name}.npz", videos=pixels, labels=np.array(["a", "b", "a"]))
    train, test = (str(tmp_path / f"{name}.npz") for name in "ab")
    height, width = PIXELS.shape[2:4]
    message = f"videos of data.test must be as large as those of data.train, {(height, width, 1)}"
    with pytest.raises(DataError, match=re.escape(f"{message}, got {(height - 1, width, 1)}")):
        read_splits(of(name="npz", train=train, test=test, dev_examples=1))


def test_pictures_are_read_as_the_config_says():
    data = {"name": "folder", "train": "a", "size": 24}
    assert (reader_of(of(**data)).size, reader_of(of(**data)).channels) == (24, 3)
    assert reader_of(of(**data, colour=False)).channels == 1
    assert reader_of(of(label="speed", noise=0.3)).noise == 0.3
