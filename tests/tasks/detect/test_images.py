"""Batches of images and boxes, and what is found in pixels of the file."""

import re

import numpy as np
import pytest
import torch

from heedful.data.boxes import Box
from heedful.data.segments import Frame
from heedful.errors import DataError
from heedful.metrics.rows import UNKNOWN
from heedful.models.detector import Detected
from heedful.tasks.detect.examples import Boxed
from heedful.tasks.detect.images import (
    BoxedImages,
    Detection,
    Found,
    detection_metrics,
    found_in,
    load_boxed,
    turned,
)

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (3, 6, 8, 3), np.uint8)
FRAME = Frame(height=6, width=8, channels=3)


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS, masks=np.zeros((3, 6, 8), np.uint8))
    return str(tmp_path / "a.npz")


def box(label="a", x=2.0, y=1.0, width=4.0, height=3.0):
    return Box(label=label, x=x, y=y, width=width, height=height)


def loaded(path, **settings):
    examples = [
        Boxed(path, 0, (box(), box("b", 0, 0, 8, 6))),
        Boxed(path, 1),
        Boxed(path, 2, known=False),
    ]
    return load_boxed(examples, ["a", "b"], frame=FRAME, augment=False, **settings)


def test_boxes_are_shares_of_the_image_and_images_have_mean_0(path):
    images, labels, boxes = loaded(path).batch([2, 0, 1], "cpu")
    assert images.shape == (3, 3, 6, 8)
    assert images.mean((1, 2, 3)).abs().max() < 1e-6
    assert labels.tolist() == [[UNKNOWN, -1], [0, 1], [-1, -1]]
    assert boxes[1].tolist() == [[0.5, pytest.approx(2.5 / 6), 0.5, 0.5], [0.5, 0.5, 1, 1]]
    things = loaded(path).things(["a", "b"])
    assert [len(each.boxes) for each in things] == [2, 0, 0]
    assert things[0].boxes[1] == box("b", 0, 0, 8, 6)
    assert loaded(path).sizes.tolist() == [[1]] * 3
    assert loaded(path).amounts.tolist() == [1] * 3


def test_turned_boxes_lie_around_the_same_pixels():
    pixels = np.zeros((6, 6, 1), np.uint8)
    pixels[1:3, 2:5] = 255
    boxes = np.array([[3.5 / 6, 2 / 6, 3 / 6, 2 / 6]], np.float32)
    seen = set()
    random = np.random.default_rng(0)
    for _ in range(100):
        image, (found,) = turned(pixels, boxes, random)
        x, y, width, height = np.rint(6 * found * 2) / 2
        rows, columns = np.nonzero(image[..., 0])
        assert (columns.min(), columns.max() + 1) == (x - width / 2, x + width / 2)
        assert (rows.min(), rows.max() + 1) == (y - height / 2, y + height / 2)
        seen.add(image.tobytes())
    assert len(seen) == 8
    wide = np.zeros((4, 6, 1), np.uint8)
    assert {turned(wide, boxes, random)[0].shape for _ in range(20)} == {(4, 6, 1)}


def test_training_images_are_turned_and_others_not(path):
    held = loaded(path)
    augmented = BoxedImages(held.pixels, held.labels, held.boxes, held.originals, augment=True)
    plain = held.batch([0], "cpu")[0]
    random = np.random.default_rng(0)
    assert any(
        not torch.equal(augmented.batch([0], "cpu", random=random)[0], plain) for _ in range(5)
    )
    assert torch.equal(augmented.batch([0], "cpu")[0], plain)


def test_a_fingerprint_tells_of_any_change(path):
    held, seen = loaded(path), []
    for change in (lambda: None, lambda: held.labels.__setitem__((0, 0), 1),
                   lambda: held.boxes.__setitem__((0, 0, 0), 0.1),
                   lambda: held.pixels.__setitem__((0, 0), 7)):  # fmt: skip
        change()
        seen.append(tuple(held.fingerprint()))
    assert len(set(seen)) == 4


def test_what_is_found_is_in_pixels_of_the_file_the_surest_first(path):
    held = loaded(path)
    held.originals[0] = (12, 16)
    logits = torch.tensor([[1.0, 0, 0], [0, 4, 0], [0, 0, 9]])[None, None]
    boxes = torch.tensor([[0.5, 0.5, 0.25, 0.5], [0.25, 0.75, 0.5, 0.5], [0, 0, 1, 1]])[None, None]
    (found,) = found_in(Detected(logits, boxes), held, [0], ["a", "b"], least=0.6)
    assert [each.query for each in found.boxes] == [1, 0]  # the third one is of nothing
    first = found.boxes[0]
    assert (first.label, first.x, first.y, first.width, first.height) == ("b", 0, 6, 8, 6)
    assert first.score == pytest.approx(logits[0, 0, 1].softmax(-1)[1].item())
    assert found.sure == [first]
    assert str(found) == f"b at 0 6 8 6 ({first.score:.0%})"
    assert found.plain() == [
        {"label": "b", "x": 0, "y": 6, "width": 8, "height": 6, "score": first.score}
    ]
    assert str(Detection((), least=0.5)) == "nothing"


def test_boxes_end_where_the_image_does(path):
    held = loaded(path)
    boxes = torch.tensor([[0.0, 0.5, 0.5, 2.0], [2.0, 0.5, 0.5, 0.5]])[None, None]
    (found,) = found_in(Detected(torch.zeros(1, 1, 2, 3), boxes), held, [0], ["a", "b"], least=0.0)
    sides = [(box.x, box.y, box.width, box.height) for box in found.boxes]
    assert sides[0] == (0, 0, 2, 6)
    assert sides[1][2] == 0


def test_metrics_read_the_boxes_of_answers():
    found = Found(label="a", x=2, y=1, width=4, height=3, score=0.1, query=0)
    for metric in detection_metrics():
        statistics = metric.statistics([Detection((found,), least=0.5)], [Boxed("", 0, (box(),))])
        assert metric.score(statistics) == 100


def test_other_pixels_and_unknown_labels_are_refused(path):
    with pytest.raises(DataError, match="image 0, must be the one that was held out, got other"):
        load_boxed([Boxed(path, 0, hash="0")], ["a"], frame=FRAME, augment=False)
    message = "image 1, must have labels of the training split, got 'b'"
    with pytest.raises(DataError, match=re.escape(message)):
        load_boxed([Boxed(path, 1, (box("b"),))], ["a"], frame=FRAME, augment=False)
