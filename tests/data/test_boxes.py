"""Boxes of a CSV file, line by line; what does not hold is refused with its line."""

import re

import numpy as np
import pytest

from heedful.data.boxes import Box, read_boxes
from heedful.errors import DataError

image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
HEAD = "path,x,y,width,height,label\n"


@pytest.fixture
def table(tmp_path):
    """A function that writes a CSV file beside two pictures of 20 x 10 pixels."""
    (tmp_path / "in").mkdir()
    for name in ("a.png", "in/b.jpg"):
        image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / name)

    def write(text, head=HEAD):
        (tmp_path / "boxes.csv").write_text(head + text, encoding="utf-8")
        return tmp_path / "boxes.csv"

    return write


def test_lines_become_boxes_of_their_images(table, tmp_path):
    found = read_boxes(table("a.png,1,2.5,3,4,cat\nin/b.jpg,,,,,\na.png,0,0,20,10,a dog\n"))
    assert found == {
        str(tmp_path / "a.png"): (
            Box(label="cat", x=1, y=2.5, width=3, height=4),
            Box(label="a dog", x=0, y=0, width=20, height=10),
        ),
        str(tmp_path / "in" / "b.jpg"): (),
    }


def test_spaces_around_cells_are_none_of_theirs(table, tmp_path):
    found = read_boxes(table("a.png , 1, 2,3,4, cat\n in/b.jpg, , , , , \n"))
    box = Box(label="cat", x=1, y=2, width=3, height=4)
    assert found == {str(tmp_path / "a.png"): (box,), str(tmp_path / "in" / "b.jpg"): ()}


def test_columns_stand_in_any_order(table, tmp_path):
    found = read_boxes(table("cat,9,a.png,4,3,2,1\n", "label,more,path,height,width,y,x\n"))
    assert found[str(tmp_path / "a.png")] == (Box(label="cat", x=1, y=2, width=3, height=4),)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "a.png,1,2,3,4,cat\nnone.png,1,2,3,4,cat\n",
            "none.png must be an image, got no such file",
        ),
        ("a.png,1,2,3,4,cat\nboxes.csv,1,2,3,4,cat\n", "csv:3: "),
        (
            "a.png,1,2,3,4,cat\n a.png , 1,2,3,4 , cat\n",
            "csv:3 must say something new, got line 2 again",
        ),
        ("a.png,1,2,x,4,cat\n", "csv:2 must have a number in column 'width', got 'x'"),
        ("a.png,1,2,3,nan,cat\n", "csv:2 must have a number in column 'height', got 'nan'"),
        ("a.png,1,2,3,4,\n", "csv:2 must have a label, got none"),
        ("a.png,1,,3,4,cat\n", "csv:2 must have a y, got none"),
        ("a.png,1,2,0,4,cat\n", "csv:2 must have a width and a height above 0, got 0 and 4"),
        ("a.png,1,2,3,-4,cat\n", "csv:2 must have a width and a height above 0, got 3 and -4"),
        ("a.png,-1,2,3,4,cat\n", "inside its image of 20 x 10 pixels, got -1 to 2 and 2 to 6"),
        ("a.png,18,2,3,4,cat\n", "inside its image of 20 x 10 pixels, got 18 to 21 and 2 to 6"),
        ("a.png,1,8,3,4,cat\n", "inside its image of 20 x 10 pixels, got 1 to 4 and 8 to 12"),
        ("a.png,1,2,3,4,cat\n" * 2, "csv:3 must say something new, got line 2 again"),
        ("a.png,,,,,\n" * 2, "csv:3 must say something new, got line 2 again"),
        ("a.png,1,2,3,4,cat\na.png,,,,,\n", "csv:3 must not tell of nothing and of something"),
        ("a.png,,,,,\na.png,1,2,3,4,cat\n", "csv:3 must not tell of nothing and of something"),
        (",1,2,3,4,cat\n", "csv:2 must have a text in column 'path', got ''"),
        ("a.png,1,2,3,4\n", "csv:2 must have 6 columns like the first line, got 5"),
        ("", "must have a line below its header, got none"),
    ],
)
def test_lines_that_do_not_hold_are_refused(table, text, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_boxes(table(text))


def test_a_missing_column_is_named(table):
    with pytest.raises(
        DataError, match="csv:1 must have one column 'height', got path, x, y, width"
    ):
        read_boxes(table("a.png,1,2,3,cat\n", "path,x,y,width,label\n"))


def test_overlaps_are_those_of_pixels():
    random = np.random.default_rng(0)
    for _ in range(50):
        boxes = []
        for _ in range(2):
            x, y, width, height = random.integers(1, 8, 4).tolist()
            boxes.append(Box(label="a", x=x, y=y, width=width, height=height))
        first, second = (
            {(i, j) for i in range(b.x, b.x + b.width) for j in range(b.y, b.y + b.height)}
            for b in boxes
        )
        want = len(first & second) / len(first | second)
        assert boxes[0].overlap(boxes[1]) == pytest.approx(want)
