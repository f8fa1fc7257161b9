"""Images with masks from NPZ files and folders; what does not fit is refused by name."""

import importlib.util
import os
import re

import numpy as np
import pytest

from heedful.data.segments import (
    NO_LABEL,
    SHAPES_FRAME,
    Frame,
    SegmentReference,
    list_folder,
    list_npz,
    load_segments,
    refer,
)
from heedful.data.shapes import SHAPES, draw_shapes
from heedful.errors import DataError

needs_pillow = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="the extra images is not installed"
)
RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.integers(0, 256, (3, 6, 8, 3), np.uint8)
MASKS = RANDOM.integers(0, 2, (3, 6, 8), np.uint8)
FRAME = Frame(height=6, width=8, channels=3)


def npz(folder, **arrays):
    path = folder / "cells.npz"
    np.savez(path, **arrays)
    return str(path)


def picture(path, pixels):
    from PIL import Image

    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)


def folder_of(tmp_path, *, images=IMAGES, masks=255 * MASKS):
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        picture(tmp_path / "images" / f"{number}.png", image)
        picture(tmp_path / "masks" / f"{number}.png", mask)
    return str(tmp_path)


def test_arrays_become_references_and_pixels_again(tmp_path):
    path = npz(tmp_path, images=IMAGES, masks=7 * MASKS, ids=np.array(["a", "b", "c"]))
    files, frame = list_npz(path)
    assert frame == FRAME
    references = refer(files, frame=frame, classes=2)
    assert [(each.file, each.index, each.mask) for each in references] == [
        (path, row, path) for row in range(3)
    ]
    assert len({each.hash for each in references}) == 3
    found = load_segments(references[::-1], frame=frame, classes=2)
    assert np.array_equal(found.pixels, IMAGES[::-1])
    assert np.array_equal(found.masks, MASKS[::-1])
    assert found.originals == [(6, 8)] * 3


def test_grey_arrays_get_an_axis_and_masks_may_be_boolean(tmp_path):
    path = npz(tmp_path, images=IMAGES[..., 0], masks=MASKS > 0)
    files, frame = list_npz(path)
    assert frame.shape == (6, 8, 1)
    found = load_segments(refer(files, frame=frame, classes=2), frame=frame, classes=2)
    assert np.array_equal(found.pixels[..., 0], IMAGES[..., 0])
    assert np.array_equal(found.masks, MASKS)


def test_more_labels_are_kept_as_they_are(tmp_path):
    masks = RANDOM.integers(0, 4, (3, 6, 8), np.uint8)
    files, frame = list_npz(npz(tmp_path, images=IMAGES, masks=masks))
    found = load_segments(refer(files, frame=frame, classes=4), frame=frame, classes=4)
    assert np.array_equal(found.masks, masks)
    with pytest.raises(DataError, match="must hold values below 3, got 3"):
        refer(files, frame=frame, classes=3)
    with pytest.raises(DataError, match="must hold 0 and one other value, got 4 values"):
        refer(files, frame=frame, classes=2)


@needs_pillow
def test_a_folder_holds_images_and_masks_of_the_same_names(tmp_path):
    files = list_folder(folder_of(tmp_path))
    references = refer(files, frame=FRAME, classes=2)
    assert references[1].file == str(tmp_path / "images" / "1.png")
    assert references[1].mask == str(tmp_path / "masks" / "1.png")
    found = load_segments(references, frame=FRAME, classes=2)
    assert np.array_equal(found.pixels, IMAGES)
    assert np.array_equal(found.masks, MASKS)


@needs_pillow
def test_pictures_are_resized_and_their_masks_keep_their_labels(tmp_path):
    masks = np.zeros((1, 6, 8), np.uint8)
    masks[:, :, 4:] = 200
    frame = Frame(height=3, width=4, channels=1)
    references = refer(
        list_folder(folder_of(tmp_path, images=IMAGES[:1], masks=masks)), frame=frame, classes=2
    )
    found = load_segments(references, frame=frame, classes=2)
    assert found.pixels.shape == (1, 3, 4, 1)
    assert found.masks.tolist() == [[[0, 0, 1, 1]] * 3]
    assert found.originals == [(6, 8)]


@needs_pillow
def test_without_a_mask_nobody_knows_a_label(tmp_path):
    folder_of(tmp_path)
    found = load_segments(
        [SegmentReference(str(tmp_path / "images" / "0.png"))], frame=FRAME, classes=2
    )
    assert (found.masks == NO_LABEL).all()
    assert np.array_equal(found.pixels[0], IMAGES[0])


def test_shapes_are_drawn_again():
    (reference,) = refer([(SHAPES, 5, SHAPES)], frame=SHAPES_FRAME, classes=2)
    found = load_segments([reference], frame=SHAPES_FRAME, classes=2)
    pixels, mask = draw_shapes(5)
    assert np.array_equal(found.pixels[0], pixels)
    assert np.array_equal(found.masks[0], mask)


# ---- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": IMAGES}, "must hold the arrays images and masks, got ['images']"),
        ({"images": IMAGES / 255, "masks": MASKS}, "got float64 of shape (3, 6, 8, 3)"),
        ({"images": IMAGES[0, 0], "masks": MASKS}, "got uint8 of shape (8, 3)"),
        ({"images": IMAGES, "masks": MASKS[:2]}, "(3, 6, 8) of its images, got uint8 of shape (2,"),
        ({"images": IMAGES, "masks": MASKS / 2}, "got float64 of shape (3, 6, 8)"),
        ({"images": IMAGES[:0], "masks": MASKS[:0]}, "got uint8 of shape (0, 6, 8)"),
        ({"images": np.array([None]), "masks": MASKS}, "must be a whole NPZ file without objects"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=re.escape(message)):
        list_npz(npz(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 broken", b"\x93NUMPY", b"[1]"])
def test_a_broken_npz_is_refused(tmp_path, content):
    (tmp_path / "broken.npz").write_bytes(content)
    with pytest.raises(DataError, match="must be a whole NPZ file without objects, got"):
        list_npz(str(tmp_path / "broken.npz"))


def test_a_missing_npz_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"must be an NPZ file, got: .*No such file"):
        list_npz(str(tmp_path / "none.npz"))
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="must be an NPZ file, got no ordinary file"):
        list_npz(str(tmp_path / "pipe.npz"))


def test_an_image_that_changed_is_refused(tmp_path):
    files, frame = list_npz(npz(tmp_path, images=IMAGES, masks=MASKS))
    references = refer(files, frame=frame, classes=2)
    for arrays in (
        {"images": 255 - IMAGES, "masks": MASKS},
        {"images": IMAGES, "masks": 1 - MASKS},
    ):
        path = npz(tmp_path, **arrays)
        os.utime(path, ns=(1, len(arrays["images"].tobytes()) + int(arrays["masks"].sum())))
        with pytest.raises(DataError, match="image 0, must be the one that was held out"):
            load_segments(references, frame=frame, classes=2)
    npz(tmp_path, images=IMAGES[:1], masks=MASKS[:1])
    with pytest.raises(DataError, match="must hold the image 2, got 1 images"):
        load_segments(references[2:], frame=frame, classes=2)
    other = Frame(height=6, width=9, channels=3)
    with pytest.raises(DataError, match=re.escape("(6, 9, 3), got (6, 8, 3)")):
        load_segments(references[:1], frame=other, classes=2)


@needs_pillow
@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda f: (f / "masks" / "1.png").unlink(), "1.png must have a mask 1.png in"),
        (lambda f: (f / "images" / "1.png").unlink(), "1.png must have an image 1 in"),
        (lambda f: [x.unlink() for x in f.glob("*/*")], "images must hold .png, .jpg, .jpeg files"),
        (lambda f: picture(f / "images" / "1.jpg", IMAGES[0]), "the only picture of its name"),
        (lambda f: (f / "masks").rename(f / "mask"), "masks must be a folder of PNG or JPEG files"),
        (
            lambda f: picture(f / "masks" / "1.png", MASKS[0, :5]),
            "1.png must be as large as its image, 8 x 6, got 8 x 5",
        ),
        (
            lambda f: picture(f / "masks" / "1.png", IMAGES[0]),
            "1.png must be a grey picture of 8 bits a pixel, got one of mode RGB",
        ),
        (
            lambda f: picture(f / "masks" / "1.png", IMAGES[0, ..., 0]),
            "1.png must hold 0 and one other value, got",
        ),
        (
            lambda f: (f / "images" / "1.png").write_bytes(b"no picture"),
            "1.png must be a PNG or JPEG image, got",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_by_name(tmp_path, spoil, message):
    folder = folder_of(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=re.escape(message)):
        refer(list_folder(folder), frame=FRAME, classes=2)
