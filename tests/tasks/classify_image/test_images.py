"""Images as a data set: numbers between -1 and 1, moved and mirrored only in training."""

import re

import numpy as np
import pytest

from heedful.data.images import Source
from heedful.errors import DataError
from heedful.tasks.classify_image.images import Images, read_images, shifted

PIXELS = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1) * 5
LABELS = np.array([2, 0, -100])


def test_a_batch_has_what_rows_ask_for():
    data = Images(pixels=PIXELS, labels=LABELS, shift=1, flip=True)
    batch = data.batch([2, 0], "cpu")
    assert batch["label"].tolist() == [-100, 2]
    assert batch["images"].shape == (2, 1, 4, 4)
    found = (batch["images"].numpy()[:, 0] + 1) * 127.5
    assert np.allclose(found, PIXELS[[2, 0], :, :, 0], atol=1e-3)
    assert (len(data), data.sizes.tolist(), data.amounts.tolist()) == (3, [[1]] * 3, [1] * 3)


def test_a_move_is_a_sum_of_a_hand_made_one():
    moves = np.array([[1, 0, -2], [0, -1, 2]])
    moved = shifted(PIXELS, moves, border=2)
    want = np.zeros_like(PIXELS)
    want[0, 1:] = PIXELS[0, :-1]
    want[1, :, :-1] = PIXELS[1, :, 1:]
    want[2, :-2, 2:] = PIXELS[2, 2:, :-2]
    assert np.array_equal(moved, want)


def test_training_moves_and_mirrors_as_its_random_numbers_say():
    many = Images(pixels=np.repeat(PIXELS, 40, 0), labels=np.repeat(LABELS, 40), shift=1, flip=True)
    rows = range(120)
    drawn = [many.batch(rows, "cpu", random=np.random.default_rng(s)) for s in (1, 1, 2)]
    assert drawn[0]["images"].equal(drawn[1]["images"])
    assert not drawn[0]["images"].equal(drawn[2]["images"])
    first = {tuple(image.flatten().tolist()) for image in drawn[0]["images"][:40]}
    assert len(first) > 9  # of 3 x 3 places, mirrored or not
    plain = Images(pixels=many.pixels, labels=many.labels)
    same = plain.batch(rows, "cpu", random=np.random.default_rng(1))["images"]
    assert same.equal(plain.batch(rows, "cpu")["images"])
    assert np.array_equal(many.pixels, np.repeat(PIXELS, 40, 0))  # nothing was written into


def test_one_number_changes_with_any_pixel_or_label():
    data = Images(pixels=PIXELS, labels=LABELS)
    for other in (PIXELS + 1, LABELS * 2):
        changed = {"pixels": PIXELS, "labels": LABELS}
        changed["pixels" if other.ndim > 1 else "labels"] = other
        assert Images(**changed).fingerprint() != data.fingerprint()


def test_images_of_another_size_are_refused(square_files):
    source = Source(square_files["train"], labels=square_files["train_labels"])
    references = source.references()[:2]
    assert read_images(source, references, shape=(8, 8, 1)).shape == (2, 8, 8, 1)
    assert read_images(source, [], shape=(8, 8, 1)).shape == (0, 8, 8, 1)
    message = "images must be as large as in training, (9, 9, 1), got (8, 8, 1) in"
    with pytest.raises(DataError, match=re.escape(message)):
        read_images(source, references, shape=(9, 9, 1))
