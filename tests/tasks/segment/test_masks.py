"""Batches of images and masks, answers as plain data, metrics against loops, held-out images."""

import importlib.util
import re

import numpy as np
import pytest

from heedful.data.segments import NO_LABEL, SegmentReference, Segments
from heedful.errors import DataError
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.segment.config import NpzData, ShapesData
from heedful.tasks.segment.masks import (
    SegmentedImage,
    SegmentImages,
    read_splits,
    runs_of,
    segment_metrics,
)

RANDOM = np.random.default_rng(5)
needs_scipy = pytest.mark.skipif(
    importlib.util.find_spec("scipy") is None, reason="the extra images is not installed"
)


def data(*, augment=False, shape=(4, 4)):
    pixels = RANDOM.integers(0, 256, (3, *shape, 1), np.uint8)
    masks = RANDOM.integers(0, 3, (3, *shape), np.uint8)
    return SegmentImages(Segments(pixels, masks, [shape] * 3), augment=augment)


# ---- batches ------------------------------------------------------------------------------------


def test_images_have_mean_0_and_variance_1_and_labels_are_numbers():
    held = data()
    held.segments.masks[1] = NO_LABEL
    images, labels = held.batch([2, 1], "cpu")
    assert images.shape == (2, 1, 4, 4)
    assert images.mean((1, 2, 3)).abs().max() < 1e-6
    assert images.std((1, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.05)
    assert np.array_equal(labels[0].numpy(), held.segments.masks[2])
    assert (labels[1] == UNKNOWN).all()
    assert held.sizes.tolist() == [[1]] * 3
    assert held.amounts.tolist() == [1, 1, 1]


def test_an_image_of_one_grey_is_0():
    held = data()
    held.segments.pixels[:] = 200
    assert not held.batch([0], "cpu")[0].any()


@pytest.mark.parametrize("shape, ways", [((4, 4), 8), ((4, 6), 4)])
def test_training_images_are_turned_with_their_masks_all_ways_alike(shape, ways):
    held = data(augment=True, shape=shape)
    held.segments.masks[:] = held.segments.pixels[..., 0] > 100
    random, seen = np.random.default_rng(0), {}
    for _ in range(400):
        images, labels = held.batch([0], "cpu", random=random)
        grey, mask = images[0, 0].numpy(), labels[0].numpy()
        assert (grey[mask == 1].min(initial=9)) > (grey[mask == 0].max(initial=-9))
        seen[grey.tobytes()] = seen.get(grey.tobytes(), 0) + 1
    assert len(seen) == ways
    assert min(seen.values()) > 400 / ways / 2
    plain = held.batch([0], "cpu")[0]
    assert plain[0, 0].numpy().tobytes() in seen


def test_a_fingerprint_tells_of_any_change():
    held = data()
    first = held.fingerprint()
    held.segments.masks[2, 3, 3] += 1
    second = held.fingerprint()
    held.segments.pixels[0, 0, 0] ^= 1
    assert len({tuple(each) for each in (first, second, held.fingerprint())}) == 3


# ---- answers ------------------------------------------------------------------------------------


def test_runs_are_counted_line_by_line():
    there = RANDOM.random((7, 5)) < 0.5
    again = np.zeros(35, bool)
    runs = runs_of(there)
    for start, length in runs:
        again[start : start + length] = True
    assert np.array_equal(again.reshape(7, 5), there)
    assert len(runs) == (np.diff(np.pad(there.ravel().astype(int), 1)) == 1).sum()
    assert runs_of(np.zeros((2, 2), bool)) == []
    assert runs_of(np.ones((2, 2), bool)) == [[0, 4]]


@needs_scipy
def test_an_answer_is_as_large_as_the_file():
    answer = SegmentedImage(np.array([[0, 1], [2, 2]], np.uint8), size=(4, 6))
    assert answer.whole.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2] * 6] * 2
    plain = answer.plain()
    assert (plain["height"], plain["width"]) == (4, 6)
    assert plain["labels"] == {
        "1": {"share": 0.25, "boxes": [[3, 0, 3, 2]], "runs": [[3, 3], [9, 3]]},
        "2": {"share": 0.5, "boxes": [[0, 2, 6, 2]], "runs": [[12, 12]]},
    }
    assert str(answer) == "label 1: 25.0% in 1 parts, label 2: 50.0% in 1 parts"
    assert str(SegmentedImage(np.zeros((2, 2), np.uint8), size=(2, 2))) == "nothing"


# ---- metrics ------------------------------------------------------------------------------------


def overlaps(said, true, label):
    both = ((said == label) & (true == label)).sum()
    either = ((said == label) | (true == label)).sum()
    return both / either, 2 * both / ((said == label).sum() + (true == label).sum())


def test_pixels_of_all_images_are_counted_together_and_each_image_alone():
    said, true = RANDOM.integers(0, 3, (2, 4, 6, 5), np.uint8)
    said[3], true[3] = 0, 0
    answers = [SegmentedImage(a, a.shape, b) for a, b in zip(said, true, strict=True)]
    iou, dice, image_iou = (each.score(each.statistics(answers, answers)) for each in METRICS)
    pairs = [overlaps(said, true, label) for label in (1, 2)]
    assert (iou, dice) == pytest.approx(tuple(100 * np.mean(pairs, axis=0)))
    alone = [
        ((a == b) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum()
        for a, b in zip(said[:3], true[:3], strict=True)
    ]
    assert image_iou == pytest.approx(100 * np.mean([*alone, 1.0]))
    assert [each.name for each in METRICS] == ["iou", "dice", "image_iou"]


def test_an_image_without_a_mask_has_no_score():
    answers = [SegmentedImage(np.zeros((2, 2), np.uint8), (2, 2))]
    for metric in METRICS:
        with pytest.raises(DataError, match="must have a mask to be compared with, got 1 without"):
            metric.statistics(answers, answers)


METRICS = segment_metrics()


# ---- splits -------------------------------------------------------------------------------------


def npz(folder, images, name="cells.npz"):
    masks = (images[..., 0] > 128).astype(np.uint8)
    np.savez(folder / name, images=images, masks=masks)
    return str(folder / name)


def hashes(examples: list[SegmentReference]):
    return {each.hash for each in examples}


def test_drawn_shapes_are_as_many_as_asked_for_and_others_by_another_seed():
    config = ShapesData(examples=20, dev=3, test=4)
    splits = read_splits(config, 1)
    assert [len(each) for each in (splits.train, splits.dev, splits.test)] == [13, 3, 4]
    whole = [*splits.train, *splits.dev, *splits.test]
    assert len(hashes(whole)) == 20
    assert not hashes(whole) & hashes(read_splits(config, 2).train)
    assert read_splits(config, 1) == splits


def test_held_out_images_depend_on_pixels_and_seed_and_never_on_order(tmp_path):
    images = RANDOM.integers(0, 256, (60, 4, 4, 3), np.uint8)
    images[50:] = images[:10]  # twice
    config = NpzData(train=npz(tmp_path, images), dev_share=0.2, test_share=0.3)
    splits = read_splits(config, 1)
    parts = [splits.train, splits.dev, splits.test]
    assert sum(map(len, parts)) == 60
    assert [len(each) > 3 for each in parts] == [True] * 3
    assert not hashes(parts[0]) & hashes(parts[1]) | hashes(parts[1]) & hashes(parts[2])
    turned = read_splits(
        config.model_copy(update={"train": npz(tmp_path, images[::-1], "turned.npz")}), 1
    )
    assert hashes(turned.dev) == hashes(splits.dev)
    assert hashes(read_splits(config, 2).dev) != hashes(splits.dev)


def test_a_test_file_is_the_test_split_and_none_is_no_test(tmp_path):
    images = RANDOM.integers(0, 256, (40, 4, 4, 3), np.uint8)
    train, test = npz(tmp_path, images[:30]), npz(tmp_path, images[30:], "test.npz")
    splits = read_splits(NpzData(train=train, test=test, dev_share=0.3), 1)
    assert [each.file for each in splits.test] == [test] * 10
    assert len(splits.train) + len(splits.dev) == 30
    assert read_splits(NpzData(train=train, dev_share=0.3, test_share=0.0), 1).test == []


def test_a_test_file_of_another_size_is_refused(tmp_path):
    images = RANDOM.integers(0, 256, (20, 4, 4, 3), np.uint8)
    train, test = npz(tmp_path, images), npz(tmp_path, images[:, :3], "test.npz")
    message = "as large as those of data.train, (4, 4, 3), got (3, 4, 3)"
    with pytest.raises(DataError, match=re.escape(message)):
        read_splits(NpzData(train=train, test=test, dev_share=0.3), 1)


@pytest.mark.parametrize("dev_share, name", [(1e-9, "dev"), (0.999999999, "train")])
def test_an_empty_split_is_refused(tmp_path, dev_share, name):
    images = RANDOM.integers(0, 256, (5, 4, 4, 3), np.uint8)
    config = NpzData(train=npz(tmp_path, images), dev_share=dev_share, test_share=0.0)
    with pytest.raises(
        DataError, match=re.escape(f"the {name} split must have an image, got none")
    ):
        read_splits(config, 1)
