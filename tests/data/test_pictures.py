"""Pictures are read upright and as asked for; what is none is refused by name."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from heedful.data.pictures import open_picture, read_picture
from heedful.errors import DataError, MissingExtraError

image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def saved(path, **settings):
    image.fromarray(PIXELS).save(path, **settings)
    return str(path)


def test_a_picture_stands_upright(tmp_path):
    turned = image.Exif()
    turned[0x0112] = 6  # a quarter to the right is upright
    found = open_picture(saved(tmp_path / "a.png", exif=turned))
    assert np.array_equal(np.asarray(found), np.rot90(PIXELS, -1))
    assert np.array_equal(np.asarray(open_picture(saved(tmp_path / "b.png"))), PIXELS)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_middle_becomes_a_square(tmp_path, channels):
    path = saved(tmp_path / "a.png")
    pixels = read_picture(path, 6, channels)
    assert pixels.shape == (6, 6, channels)
    if channels == 3:  # columns 1.5 to 7.5
        assert abs(pixels.mean() - PIXELS[:, 1:8].mean()) < 6
    assert open_picture(path, "L").mode == "L"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_pictures_of_16_bits_keep_what_they_show(tmp_path, mode):
    deep = np.array([[0, 128, 129, 257], [300, 32_768, 65_000, 65_535]], np.uint16)
    image.fromarray(deep).save(tmp_path / "deep.png")
    found = np.asarray(open_picture(str(tmp_path / "deep.png"), mode)).reshape(2, 4, -1)
    want = np.rint(deep / 257)[..., None]
    assert np.array_equal(found, np.broadcast_to(want, found.shape))
    pixels = read_picture(str(tmp_path / "deep.png"), 2, 1)
    assert len(np.unique(pixels)) > 2


def test_a_turned_bit_of_a_png_file_is_noticed(tmp_path):
    whole = Path(saved(tmp_path / "a.png")).read_bytes()
    noticed = 0
    for place in range(len(whole)):
        turned = bytes([*whole[:place], whole[place] ^ 16, *whole[place + 1 :]])
        (tmp_path / "b.png").write_bytes(turned)
        try:
            found = open_picture(str(tmp_path / "b.png"), "RGB")
        except DataError:
            noticed += 1
        else:
            assert np.array_equal(np.asarray(found), PIXELS), place
    assert noticed > len(whole) // 2


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "b.png").write_bytes(Path(saved(tmp_path / "a.png")).read_bytes()[:60])
    (tmp_path / "c.png").write_bytes(b"text")
    os.mkfifo(tmp_path / "d.png")
    refused = {
        "none.png": "must be an image, got no such file",
        "b.png": "must be a PNG or JPEG image, got:",
        "c.png": "must be a PNG or JPEG image, got:",
        "d.png": "must be an image, got no ordinary file",
    }
    for name, message in refused.items():
        with pytest.raises(DataError, match=re.escape(f"{name} {message}")):
            open_picture(str(tmp_path / name))


@pytest.mark.parametrize("kind", ["GIF", "EPS", "BMP", "WEBP"])
def test_what_is_called_png_and_is_not_is_refused(tmp_path, kind, monkeypatch):
    def run(*arguments, **settings):
        raise AssertionError("a program must not run")

    monkeypatch.setattr("subprocess.check_call", run)  # Ghostscript, for EPS
    path = saved(tmp_path / "a.png", format=kind)
    with pytest.raises(DataError, match=re.escape(f"{path} must be a PNG or JPEG image, got: ")):
        open_picture(path, "RGB")


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pillow, got none. Run: pip install 'heedful\["):
        open_picture(path)
