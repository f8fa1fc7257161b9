"""A heading above a picture: its badge, whole titles, and nothing that somebody typed runs."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from heedful.errors import MissingExtraError
from heedful.report.framed import EDGE, LINE, LINES, MARKS, framed, png_of
from heedful.report.png import png

INNER = '<rect width="300" height="40" fill="#123456"/>'
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("mark", MARKS)
def test_a_badge_is_strokes_and_words(mark):
    svg = framed(INNER, (300, 40), title="the cat", badge=f"{mark} some <word>", command="a & b")
    assert texts(svg) == ["some <word>", "the cat"]
    root = ElementTree.fromstring(svg)
    [strokes] = root.iter(f"{SVG}path")
    assert (strokes.get("stroke"), strokes.get("d")) == MARKS[mark]
    assert root.find(f"{SVG}title").text == f"the cat: {mark} some <word>"
    assert root.find(f"{SVG}desc").text == "a & b"
    assert int(root.get("width")) == 300 + 2 * EDGE
    assert int(root.get("height")) == EDGE + (LINE + 2) + LINE + EDGE + 40 + EDGE


def test_without_words_there_is_no_heading():
    root = ElementTree.fromstring(framed(INNER, (300, 40), title="", badge=""))
    assert int(root.get("height")) == 40 + 2 * EDGE
    assert not list(root.iter(f"{SVG}text"))


def test_a_narrow_picture_gets_room_for_its_badge():
    root = ElementTree.fromstring(framed(INNER, (30, 40), title="", badge="✘ " + 30 * "w"))
    assert int(root.get("width")) > 30 * 7


def test_long_titles_are_cut_into_lines_and_then_off():
    said = texts(framed(INNER, (300, 40), title="one two three " * 6, badge=""))
    assert " ".join(said) == ("one two three " * 6).strip()
    assert all(len(line) <= 40 for line in said)
    chinese = texts(framed(INNER, (300, 40), title=50 * "猫", badge=""))
    assert "".join(chinese) == 50 * "猫"
    assert [len(line) for line in chinese] == [20, 20, 10]
    cut = texts(framed(INNER, (300, 40), title="word " * 999, badge=""))
    assert len(cut) == LINES
    assert cut[-1].endswith(" …")


def test_a_png_is_drawn_with_its_command():
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    image = pytest.importorskip("PIL.Image")
    content = png_of(framed(INNER, (300, 40), title="", badge=""), "heedful \x1b größer")
    assert re.search(r"heedful \\x1b größer".encode(), content)
    drawn = image.open(io.BytesIO(content))
    assert drawn.size == (2 * (300 + 2 * EDGE), 2 * (40 + 2 * EDGE))
    assert drawn.convert("RGB").getpixel((2 * EDGE + 10, 2 * EDGE + 10)) == (0x12, 0x34, 0x56)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'heedful\[report\]'"):
        png_of(framed(INNER, (300, 40), title="", badge=""))


def test_a_command_goes_behind_the_header_of_any_png():
    from heedful.report.png import with_command

    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert with_command(png(pixels), "größer") == png(pixels, "größer")
