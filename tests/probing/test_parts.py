"""Parts cover every weight once; memory is used again."""

import itertools

import pytest
import torch

from heedful.probing.parts import NUMBERS, Room, parts


@pytest.mark.parametrize("block", [None, 1, 2, 5, 9])
@pytest.mark.parametrize("numbers", [1, 7, 30, 10**6])
@pytest.mark.parametrize("heads", [(0, 1, 2), (3, 1)])
def test_parts_cover_every_weight_once(monkeypatch, numbers, heads, block):
    monkeypatch.setattr("heedful.probing.parts.NUMBERS", numbers)
    seen = []
    for part in parts(2, heads, 5, 7, block=block):
        batch, rows = (range(x.start, x.stop) for x in (part.batch, part.rows))
        assert block is None or len(rows) <= block
        size = len(batch) * len(part.heads) * len(rows)
        assert size * 7 <= max(numbers, 7 * (block or 1))
        seen += itertools.product(batch, part.heads, rows)
    assert sorted(seen) == sorted(itertools.product(range(2), heads, range(5)))


def test_long_texts_are_cut():
    lengths = [part.rows.stop - part.rows.start for part in parts(1, [0], 2**14, 2**14)]
    assert set(lengths) == {NUMBERS // 2**14}


def test_room_is_used_again():
    room, like = Room(), torch.zeros(1)
    first = room.take("scores", (3, 4), like)
    assert room.take("scores", (2, 2), like).data_ptr() == first.data_ptr()
    assert room.take("weights", (2, 2), like).data_ptr() != first.data_ptr()
    assert room.take("scores", (5, 5), like).shape == (5, 5)
    assert room.take("scores", (2,), like.double()).dtype == torch.float64
