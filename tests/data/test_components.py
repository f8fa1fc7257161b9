"""Parts of masks against a search by hand."""

import sys

import numpy as np
import pytest

from heedful.data.components import Part, parts_of
from heedful.errors import MissingExtraError

MASK = np.array(
    [
        [1, 1, 0, 0, 2],
        [0, 1, 0, 2, 2],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 0, 1],
    ],
    np.uint8,
)


def searched(mask):
    """The sets of pixels that touch at a side, by label."""
    left = {place for place in np.ndindex(mask.shape) if mask[place]}
    while left:
        start = left.pop()
        part, open_ends = {start}, [start]
        while open_ends:
            row, column = open_ends.pop()
            for beside in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if beside in left and mask[beside] == mask[start]:
                    left.remove(beside)
                    part.add(beside)
                    open_ends.append(beside)
        yield int(mask[start]), part


def test_parts_touch_at_a_side_and_not_at_a_corner():
    pytest.importorskip("scipy", reason="the extra images is not installed")
    assert parts_of(MASK)[0] == Part(label=1, x=0, y=0, width=2, height=2, pixels=3)
    random = np.random.default_rng(0).integers(0, 3, (12, 9))
    for mask in (MASK, random):
        want = {
            (label, min(x for _, x in part), min(y for y, _ in part), len(part))
            for label, part in searched(mask)
        }
        found = parts_of(mask)
        assert {(each.label, each.x, each.y, each.pixels) for each in found} == want
        assert len(found) == len(list(searched(mask)))
    assert parts_of(np.zeros((3, 3), np.uint8)) == []


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"scipy, got none. Run: pip install 'heedful\[im"):
        parts_of(MASK)
