import html
import json
import re
import sys
from dataclasses import replace

import pytest

from heedful.data.alignment import Alignment
from heedful.errors import ConfigError, DataError, MissingExtraError, RunError
from heedful.report import alignment_chart
from heedful.report.alignment_chart import chart, check_output, write_alignment

pytest.importorskip("altair", reason="needs the extra `report`")
pytest.importorskip("vl_convert", reason="needs the extra `report`")

COMMAND = "heedful predict runs/演示 'the cat <the>' -o x"
ALIGNMENT = Alignment(
    source=("the", "cat", "the", "</script><script>x"),
    target=("猫", "猫"),
    weights=((0.0, 0.875, 0.125, 0.0), (0.25, 0.25, 0.25, 0.25)),
    title="the cat → 猫猫",
    badge="✘ no better than <random>",
)
BADGE = "no better than &lt;random&gt;"


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    path = tmp_path / "x.html"
    write_alignment(ALIGNMENT, path, command=COMMAND)
    page = path.read_text(encoding="utf-8")
    assert html.escape(COMMAND) in page
    assert "<h1>the cat → 猫猫</h1>" in page
    assert f"<strong>✘ {BADGE}</strong>" in page
    assert "default-src 'none'" in page  # the browser itself refuses every request
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"\b(src|href)=|url\(", markup)
    assert '"ast": true' in page
    assert '"actions": false' in page
    assert page.count("</script>") == 2  # a piece of text ends no script
    spec = json.loads(page.split('vegaEmbed("#map", ')[1].split(', {"ast"')[0])
    assert spec == chart(ALIGNMENT)
    assert '<div class="wide"><div id="map">' in page  # a wide map scrolls, the page does not
    assert "<td>87.5</td>" in page  # numbers without JavaScript


def test_without_a_badge_there_is_none(tmp_path):
    for suffix in (".svg", ".html"):
        path = tmp_path / f"x{suffix}"
        write_alignment(replace(ALIGNMENT, badge=""), path, command=COMMAND)
        text = path.read_text(encoding="utf-8")
        assert BADGE not in text
        assert "<strong>" not in text


def test_svg_holds_text_and_command(tmp_path):
    path = tmp_path / "x.svg"
    write_alignment(ALIGNMENT, path, command=COMMAND)
    picture = path.read_text(encoding="utf-8")
    assert f"<desc>{html.escape(COMMAND)}</desc>" in picture
    labels = re.findall(r">([^<>]+)</text>", picture)
    assert labels[:2] == [BADGE, "the cat → 猫猫"]
    assert labels.count("the") == 2  # repeated pieces stay apart
    assert labels.count("猫") == 2
    assert labels.index("cat") == labels.index("the") + 1
    assert {"88", "25", "100%"} <= set(labels)


def test_png_is_a_picture_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment_chart, "has_chinese_font", lambda: True)
    path = tmp_path / "x.PNG"
    write_alignment(ALIGNMENT, path, command=COMMAND)
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert COMMAND.encode() in picture
    chunks, at = [], 8
    while at < len(picture):  # the added chunk leaves the file well formed
        size = int.from_bytes(picture[at : at + 4], "big")
        chunks.append(picture[at + 4 : at + 8])
        at += size + 12
    assert chunks[:2] == [b"IHDR", b"iTXt"]
    assert chunks[-1] == b"IEND"


def test_png_without_a_chinese_font_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment_chart, "has_chinese_font", lambda: False)
    with pytest.warns(UserWarning, match="needs a font that has them, got none on this machine"):
        write_alignment(ALIGNMENT, tmp_path / "x.png", command=COMMAND)
    latin = Alignment(source=("a",), target=("b",), weights=((1.0,),))
    write_alignment(latin, tmp_path / "y.png", command=COMMAND)  # a warning would be an error


def test_the_scale_is_a_square_root_with_a_legend():
    color = chart(ALIGNMENT)["layer"][0]["encoding"]["color"]
    assert (color["scale"]["type"], color["scale"]["domain"]) == ("sqrt", [0, 1])
    assert color["legend"]["title"] == "share (square root scale)"


def even(sources, targets):
    weights = ((1 / sources,) * sources,) * targets
    return Alignment(source=("a",) * sources, target=("b",) * targets, weights=weights)


def test_numbers_are_left_out_of_a_large_map():
    assert "layer" not in chart(even(80, 2))


@pytest.mark.parametrize(
    "sources, targets, width, height",
    [(2, 3, 60, 36), (30, 30, 33, 26), (83, 2, 12, 36), (90, 60, 12, 15)],
)
def test_cells_are_as_large_as_the_page_allows(sources, targets, width, height):
    drawn = chart(even(sources, targets))
    assert (drawn["width"], drawn["height"]) == ({"step": width}, {"step": height})


def test_other_suffixes_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "x.pdf"
    with pytest.raises(ConfigError, match=r"must end in \.html, \.svg, \.png, got x\.pdf"):
        write_alignment(ALIGNMENT, path, command=COMMAND)
    assert not path.exists()


def test_a_bad_alignment_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.svg"
    path.write_text("old", encoding="utf-8")
    bad = Alignment(source=("a",), target=("b",), weights=((0.5,),))
    with pytest.raises(DataError, match=r"got a sum of 0\.5"):
        write_alignment(bad, path, command=COMMAND)
    assert path.read_text(encoding="utf-8") == "old"


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "no" / "x.svg"
    with pytest.raises(RunError, match=r"x\.svg must be writable, got: No such file"):
        write_alignment(ALIGNMENT, path, command=COMMAND)


@pytest.mark.parametrize("module", ["altair", "vl_convert"])
def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'heedful\[report\]'"):
        check_output(tmp_path / "x.html")
