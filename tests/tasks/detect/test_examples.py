"""Images with boxes in three splits; a label that nothing was learned of is refused."""

import re

import numpy as np
import pytest

from heedful.data.boxes import Box
from heedful.data.canvases import TEST, TRAIN
from heedful.data.segments import Frame
from heedful.errors import DataError
from heedful.tasks.detect.config import DigitsData, MasksData, TableData
from heedful.tasks.detect.examples import (
    Boxed,
    boxes_of,
    frame_of,
    pixels_of,
    read_boxed,
    read_splits,
)

image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
RANDOM = np.random.default_rng(1)
PIXELS = RANDOM.integers(0, 256, (30, 6, 8, 3), np.uint8)


def masks(values=(1,)):
    found = np.zeros((30, 6, 8), np.uint8)
    for number, mask in enumerate(found):
        mask[1:3, 2:6] = values[number % len(values)]
        mask[4, 0] = values[0]
    return found


def npz(folder, values=(1,), name="cells.npz"):
    np.savez(folder / name, images=PIXELS, masks=masks(values))
    return str(folder / name)


def table(folder, labels, name="boxes.csv"):
    lines = ["path,x,y,width,height,label"]
    for number, label in enumerate(labels):
        image.fromarray(PIXELS[number]).save(folder / f"{number}.png")
        lines.append(f"{number}.png,1,2,3,4,{label}")
    (folder / name).write_text("\n".join([*lines, ""]))
    return str(folder / name)


def test_canvases_are_as_many_as_asked_for():
    splits = read_splits(DigitsData(train=7, dev=2, test=3), 1)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [7, 2, 3]
    assert {each.file for each in splits.train} == {TRAIN}
    assert {each.file for each in splits.test} == {TEST}
    other = read_splits(DigitsData(train=7, dev=2, test=3), 2)
    assert not {each.hash for each in splits.train} & {each.hash for each in other.train}


@pytest.mark.parametrize(
    "values, labels", [((1,), {"thing"}), ((3,), {"thing"}), ((1, 2), {"1", "2"})]
)
def test_parts_of_masks_become_boxes(tmp_path, values, labels):
    config = MasksData(train=npz(tmp_path, values), dev_share=0.2)
    splits = read_splits(config, 1)
    whole = [*splits.train, *splits.dev, *splits.test]
    assert len(whole) == 30
    assert {box.label for each in whole for box in each.boxes} == labels
    sides = {(box.x, box.y, box.width, box.height) for box in whole[0].boxes}
    assert sides == {(2, 1, 4, 2), (0, 4, 1, 1)}
    pixels, size = pixels_of(whole[0], frame_of(config))
    assert size == (6, 8)
    assert np.array_equal(pixels, PIXELS[whole[0].index])
    assert boxes_of(np.zeros((3, 3), np.uint8), label=None) == ()


def test_pictures_are_resized_and_their_boxes_stay_in_pixels_of_the_file(tmp_path):
    config = TableData(train=table(tmp_path, ["a", "b"]), size=12, colour=False)
    found = read_boxed(config, config.train)
    assert [each.boxes[0] for each in found] == [
        Box(label=label, x=1, y=2, width=3, height=4) for label in "ab"
    ]
    pixels, size = pixels_of(found[0], frame_of(config))
    assert (pixels.shape, size) == ((12, 12, 1), (6, 8))


def test_labels_that_are_only_held_out_are_refused(tmp_path):
    train = table(tmp_path, ["a"] * 20)
    test = table(tmp_path, ["a", "c"], "test.csv")
    config = TableData(train=train, test=test, dev_share=0.3)
    with pytest.raises(
        DataError, match=r"1\.png, image 0, must have labels of the training split, got"
    ):
        read_splits(config, 1)
    config = TableData(train=train, test=train, dev_share=0.3)
    assert len(read_splits(config, 1).test) == 20


@pytest.mark.parametrize("share, name", [(1e-9, "dev"), (0.999999999, "train")])
def test_an_empty_split_is_refused(tmp_path, share, name):
    config = MasksData(train=npz(tmp_path), dev_share=share, test_share=0.0)
    with pytest.raises(DataError, match=f"the {name} split must have an image, got none of"):
        read_splits(config, 1)


def test_a_test_file_of_another_size_is_refused(tmp_path):
    np.savez(tmp_path / "test.npz", images=PIXELS[:, :5], masks=masks()[:, :5])
    config = MasksData(train=npz(tmp_path), test=str(tmp_path / "test.npz"), dev_share=0.3)
    message = "as large as those of data.train, (6, 8, 3), got (5, 8, 3)"
    with pytest.raises(DataError, match=re.escape(message)):
        read_splits(config, 1)


def test_images_of_another_size_or_none_are_refused(tmp_path):
    path = npz(tmp_path)
    with pytest.raises(
        DataError, match=re.escape("as large as in training, (5, 8, 3), got (6, 8,")
    ):
        pixels_of(Boxed(path, 0), Frame(height=5, width=8, channels=3))
    with pytest.raises(
        DataError, match=re.escape("image 30, must be as large as in training, (6, ")
    ):
        pixels_of(Boxed(path, 30), Frame(height=6, width=8, channels=3))
