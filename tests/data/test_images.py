"""Images from IDX files, folders and scikit-learn, and the references that stand for them."""

import gzip
import hashlib
import importlib.util
import os
import re
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest

from heedful.data.images import DIGITS, ImageReference, Source, read_idx
from heedful.errors import DataError, MissingExtraError

needs_pillow = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="the extra images is not installed"
)
needs_digits = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="the extra images is not installed"
)


def idx(*shape, values):
    head = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return head + bytes(values)


def sha(values):
    return hashlib.sha256(bytes(values)).hexdigest()[:16]


def pair(folder, *, ending=""):
    """Two images of 3 rows and 4 columns, with labels 7 and 2."""
    write = gzip.compress if ending else bytes
    (folder / f"images{ending}").write_bytes(write(idx(2, 3, 4, values=range(24))))
    (folder / f"labels{ending}").write_bytes(write(idx(2, values=[7, 2])))
    return Source(str(folder / f"images{ending}"), labels=str(folder / f"labels{ending}"))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_become_references_and_pixels_again(tmp_path, ending):
    source = pair(tmp_path, ending=ending)
    first, second = source.references()
    path = str(tmp_path / f"images{ending}")
    assert first == ImageReference(path, 0, "7", sha(range(12)), seed=0)
    assert second == ImageReference(path, 1, "2", sha(range(12, 24)), seed=1)
    pixels = source.load([second, first, second])
    assert pixels.shape == (3, 3, 4, 1)
    assert pixels[0].tobytes() == bytes(range(12, 24)) == pixels[2].tobytes()


@pytest.mark.parametrize(
    "content, want",
    [
        (b"", "must begin with the bytes 00 00 08 of an IDX file, got ''"),
        (idx(2, values=[1, 2])[1:], "must begin with the bytes 00 00 08"),
        (b"\0\0\x0d\1" + bytes(8), "of an IDX file, got '00 00 0d 01'"),
        (b"\0\0\x08\3" + bytes(8), "must state 3 sizes, got 2"),
        (idx(2, 3, values=range(5)), "must hold 6 bytes for the shape (2, 3), got 5"),
        (idx(2, 3, values=range(7)), "must hold 6 bytes for the shape (2, 3), got more"),
    ],
)
def test_an_idx_file_that_is_none_is_refused(tmp_path, content, want):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(want)):
        read_idx(tmp_path / "file")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match="none must be an IDX file, got no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="none must be an IDX file, got: No such file"):
        Source(str(tmp_path / "none"), labels="labels").references()
    with pytest.raises(DataError, match="must be a readable file, got: Is a directory"):
        read_idx(tmp_path)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(idx(9, values=range(9)))[:-9])
    with pytest.raises(DataError, match=re.escape("cut.gz must be whole gzip data, got: ")):
        read_idx(tmp_path / "cut.gz")


@needs_pillow
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe must be an IDX file, got no ordinary file"):
        Source(path, labels="labels").references()
    with pytest.raises(DataError, match="pipe must be an image, got no ordinary file"):
        Source(str(tmp_path)).load([ImageReference(path, 0, "cat")])


def test_images_and_labels_must_agree(tmp_path):
    source = pair(tmp_path)
    (tmp_path / "labels").write_bytes(idx(3, values=[7, 2, 5]))
    want = f"labels must hold a label for each of the 2 images of {source.path}, got the shape (3,)"
    with pytest.raises(DataError, match=re.escape(want)):
        source.references()
    (tmp_path / "images").write_bytes(idx(2, 3, 4, 5, values=range(120)))
    with pytest.raises(DataError, match=re.escape("must hold images of shape (images, height")):
        source.references()


def test_other_pixels_than_those_held_out_are_refused(tmp_path):
    source = pair(tmp_path)
    first, second = source.references()
    for index in (2, -1):
        want = f"image {index}, must be the one that was held out, got none"
        with pytest.raises(DataError, match=want):
            source.load([first, replace(second, index=index)])
    (tmp_path / "images").write_bytes(idx(2, 3, 4, values=range(1, 25)))
    with pytest.raises(DataError, match=r"image 1, must be the one that .*, got other pixels"):
        source.load([second])


@needs_digits
def test_the_digits_of_scikit_learn_are_there():
    references = Source(DIGITS).references()
    pixels = Source(DIGITS).load(references[:2])
    assert len(references) == 1797
    assert {each.label for each in references} == set("0123456789")
    assert pixels.shape == (2, 8, 8, 1)
    assert pixels.max() == 255
    assert np.unique(pixels).size <= 17


@needs_pillow
@pytest.mark.parametrize("channels, middle", [(1, [76]), (3, [255, 0, 0])])
def test_a_folder_for_each_label_is_read(tmp_path, channels, middle):
    from PIL import Image

    for name, file, colour in (("cat", "b.png", "red"), ("ape", "a.PNG", "blue")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (12, 6), colour).save(tmp_path / name / file)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    source = Source(str(tmp_path), size=5, channels=channels)
    references = source.references()
    assert [each.label for each in references] == ["ape", "cat"]
    assert [each.file for each in references] == [
        str(tmp_path / "ape" / "a.PNG"),
        str(tmp_path / "cat" / "b.png"),
    ]
    pixels = source.load(references[1:])
    assert pixels.shape == (1, 5, 5, channels)
    assert pixels[0, 2, 2].tolist() == middle


@needs_pillow
def test_a_picture_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a folder with a folder for each label, got none"):
        Source(str(tmp_path / "none")).references()
    with pytest.raises(DataError, match=re.escape("with .png, .jpg, .jpeg files in it, got none")):
        Source(str(tmp_path)).references()
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match=re.escape("cat must have .png, .jpg, .jpeg files in it")):
        Source(str(tmp_path)).references()
    (tmp_path / "cat" / "a.WebP").touch()
    with pytest.raises(DataError, match=r"a\.WebP must be a PNG or JPEG image, got one of another"):
        Source(str(tmp_path)).references()
    (tmp_path / "cat" / "a.WebP").unlink()
    (tmp_path / "cat" / "a.jpg").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=re.escape("a.jpg must be a PNG or JPEG image, got: ")):
        Source(str(tmp_path)).references()
    for name in ("loose.PNG", "loose.gif"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=f"{name} must lie in a folder that is its label, got"):
            Source(str(tmp_path)).references()
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"gone\.png must be an image, got no such file"):
        Source(str(tmp_path)).load([ImageReference(str(tmp_path / "gone.png"), 0, "cat")])


@needs_pillow
def test_one_image_is_referred_to(tmp_path):
    from PIL import Image

    source = pair(tmp_path)
    path = str(tmp_path / "images")
    assert source.refer(path, 1) == ImageReference(path, 1, "", sha(range(12, 24)))
    with pytest.raises(DataError, match="images must hold image 2, got images 0 to 1"):
        source.refer(path, 2)
    Image.new("L", (9, 9), 5).save(tmp_path / "a.png")
    picture = replace(source, size=3).refer(str(tmp_path / "a.png"))
    assert picture.hash == sha([5] * 9)
    assert replace(source, size=3).load([picture]).shape == (1, 3, 3, 1)


def test_the_extra_that_is_missing_is_named(monkeypatch, tmp_path):
    from heedful.data import images

    images._digits.cache_clear()
    for module in ("sklearn.datasets", "PIL"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn, got none\. Run: pip install"):
        Source(DIGITS).references()
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").touch()
    with pytest.raises(MissingExtraError, match=re.escape("pillow, got none. Run: pip install 'h")):
        Source(str(tmp_path)).references()


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    source = Source(str(tmp_path / "images"), labels=str(tmp_path / "labels"))
    with pytest.raises(DataError, match="must be an IDX file, got: embedded null"):
        source.load([ImageReference("a\0b", 0, "1", "hash")])
