"""Tiles cover every weight once; memory is used again."""

import itertools

import pytest
import torch

from heedful.probing.tiles import NUMBERS, Workspace, tiles


@pytest.mark.parametrize("block", [None, 1, 2, 5, 9])
@pytest.mark.parametrize("numbers", [1, 7, 30, 10**6])
@pytest.mark.parametrize("heads", [(0, 1, 2), (3, 1)])
def test_parts_cover_every_weight_once(monkeypatch, numbers, heads, block):
    monkeypatch.setattr("heedful.probing.tiles.NUMBERS", numbers)
    seen = []
    for tile in tiles(2, heads, 5, 7, block=block):
        batch, rows = (range(x.start, x.stop) for x in (tile.batch, tile.rows))
        assert block is None or len(rows) <= block
        size = len(batch) * len(tile.heads) * len(rows)
        assert size * 7 <= max(numbers, 7 * (block or 1))
        seen += itertools.product(batch, tile.heads, rows)
    assert sorted(seen) == sorted(itertools.product(range(2), heads, range(5)))


def test_long_texts_are_cut():
    lengths = [tile.rows.stop - tile.rows.start for tile in tiles(1, [0], 2**14, 2**14)]
    assert set(lengths) == {NUMBERS // 2**14}


def test_a_workspace_is_used_again():
    workspace, like = Workspace(), torch.zeros(1)
    first = workspace.buffer("scores", (3, 4), like)
    assert workspace.buffer("scores", (2, 2), like).data_ptr() == first.data_ptr()
    assert workspace.buffer("weights", (2, 2), like).data_ptr() != first.data_ptr()
    assert workspace.buffer("scores", (5, 5), like).shape == (5, 5)
    assert workspace.buffer("scores", (2,), like.double()).dtype == torch.float64
