"""Images and where their places looked, drawn and written."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report.test_png import unpacked

from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.errors import ConfigError
from heedful.report.framed import EDGE
from heedful.report.image_attention import (
    DARK,
    GAP,
    MARK,
    NAME,
    mosaic,
    render_image,
    write_image,
)

MAP = AttentionMap(row=0, column=1, weights=((0.64, 0.0), (0.2, 0.16)))
PICTURE = ImageAttention(
    pixels=(((0,), (255,)), ((128,), (60,))), maps=(MAP,), title="a <7> & its place"
)


def test_a_terminal_shows_the_image_and_the_map():
    lines = render_image(PICTURE).plain.split("\n")
    assert lines == [
        "a <7> & its place",
        "  ██",
        "▒▒░░",
        "",
        "where row 1, column 2 looked: the fuller, the more",
        "██  ",
        "▒▒▒▒",
    ]


def test_image_and_map_stand_side_by_side():
    pixels = mosaic(PICTURE)
    assert pixels.shape == (224, 224 + GAP + 224, 3)
    corners = pixels[[0, 0, -1, -1]][:, [0, 223, 224, 240, -1]]
    assert corners[0, :, 0].tolist() == [0, 255, 255, 0, MARK[0]]
    assert corners[0, 4].tolist() == list(MARK)
    assert corners[3, :, 1].tolist() == [128, 60, 255, round(255 * (1 - (0.2 / 0.64) ** 0.5)), 128]


def test_colours_stay_and_no_map_is_drawn_without_attention():
    picture = ImageAttention(pixels=(((1, 2, 3), (4, 5, 6)), ((7, 8, 9), (0, 1, 0))))
    pixels = mosaic(picture)
    assert pixels.shape == (224, 224, 3)
    assert pixels[0, -1].tolist() == [4, 5, 6]


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_files_hold_the_picture(tmp_path, suffix):
    path = tmp_path / f"made{suffix}"
    write_image(PICTURE, path, command="heedful predict <run>")
    text = path.read_text(encoding="utf-8")
    assert "a &lt;7&gt; &amp; its place" in text
    assert "heedful predict &lt;run&gt;" in text
    assert "✔" not in text
    assert not re.search(r"(src|href)=\"http", text)
    content = base64.b64decode(re.findall(r"base64,([^\"]+)", text)[0])
    assert np.array_equal(unpacked(content)[0], mosaic(PICTURE))


@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_a_png_holds_the_picture_below_its_heading(tmp_path, suffix):
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / f"made{suffix}"
    write_image(PICTURE, path, command="heedful predict <run>")
    assert b"heedful predict <run>" in path.read_bytes()
    expected = mosaic(PICTURE).repeat(2, axis=0).repeat(2, axis=1)
    height, width, _ = expected.shape
    edge = 2 * EDGE
    pixels = np.asarray(image.open(path).convert("RGB"))
    assert pixels.shape[1] == width + 2 * edge
    assert np.array_equal(pixels[-height - edge : -edge, edge:-edge], expected)
    assert (pixels[: -height - edge] < 128).any()  # the title


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_the_badge_stands_in_the_file(tmp_path, suffix):
    path = tmp_path / f"made{suffix}"
    write_image(replace(WORDS, badge="✔ verified, by <x>"), path, command="")
    assert "verified, by &lt;x&gt;" in path.read_text(encoding="utf-8")


def test_the_badge_can_be_seen_in_a_png(tmp_path):
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    image = pytest.importorskip("PIL.Image")
    seen = []
    for badge in ("", "✔ verified", "✘ no better than random"):
        write_image(replace(PICTURE, title="", badge=badge), tmp_path / "a.png", command="")
        seen.append(np.asarray(image.open(tmp_path / "a.png").convert("RGB")).astype(int))
    none, good, bad = seen
    heading = good.shape[0] - none.shape[0]
    assert heading == bad.shape[0] - none.shape[0] > 30
    red, green, _ = (good[:heading] - bad[:heading]).transpose(2, 0, 1)
    assert (red < -100).any()
    assert (green > 50).any() or (green < -50).any()


def test_words_stand_below_their_panels(tmp_path):
    write_image(WORDS, tmp_path / "a.svg", command="")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    names = re.findall(r'<text x="(\d+)" y="(\d+)"[^>]*>&lt;(\d)&gt;</text>', text)
    assert [int(number) for *_, number in names] == list(range(7))
    side = 224 + GAP
    assert [(int(x), int(y)) for x, y, _ in names] == [
        *((column * side, 224 + NAME) for column in range(1, 6)),
        *((column * side, 224 + side + NAME) for column in range(2)),
    ]


def test_a_page_says_that_there_is_no_attention(tmp_path):
    write_image(ImageAttention(pixels=(((9,),),)), tmp_path / "a.html", command="")
    assert "The model has no attention." in (tmp_path / "a.html").read_text()


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("end in .html, .svg, .png, got made.gif")):
        write_image(PICTURE, tmp_path / "made.gif", command="")


WORDS = ImageAttention(
    pixels=(((200,), (100,)), ((0,), (50,))),
    maps=tuple(
        AttentionMap(row=1, column=0, weights=((0.0, 0.36), (0.64, 0.0)), word=f"<{number}>")
        for number in range(7)
    ),
    title="seven words",
)


def test_words_are_shown_by_the_image_lit_where_they_looked():
    pixels = mosaic(WORDS)
    assert pixels.shape == (224 + GAP + 224, 6 * 224 + 5 * GAP, 3)  # eight panels, six in a row
    first, last = pixels[:, 240:464, 0], pixels[240:, 240:464, 0]
    assert np.array_equal(first[:224], last)
    assert [last[0, 0], last[0, -1], last[-1, 0], last[-1, -1]] == [
        *(round(200 * DARK), round(100 * (DARK + (1 - DARK) * 0.75))),
        *(0, round(50 * DARK)),
    ]
    assert (pixels[240:, 480:] == 255).all()


def test_a_map_of_what_counts_is_not_said_to_be_where_anything_looked(tmp_path):
    write_image(replace(WORDS, explains=True), tmp_path / "a.html", command="")
    text = (tmp_path / "a.html").read_text()
    assert "what counts for each answer: &lt;0&gt; · &lt;1&gt; ·" in text
    assert "word looked" not in text


def test_words_are_named_in_the_terminal_and_on_the_page(tmp_path):
    assert "where <3> looked: the fuller, the more" in render_image(WORDS).plain
    write_image(WORDS, tmp_path / "a.html", command="")
    text = (tmp_path / "a.html").read_text()
    assert "where each word looked: &lt;0&gt; · &lt;1&gt; ·" in text
