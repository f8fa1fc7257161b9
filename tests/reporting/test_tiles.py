"""A map as a tile, whatever blocks its rows come in."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from heedful.nn.attention import Attention
from heedful.probing.probe import probe
from heedful.reporting import tiles as module
from heedful.reporting.tiles import pooled, tiles_of


def tile_of(weights, size=1000):
    blocks = (weights[None, start : start + size] for start in range(0, len(weights), size))
    (tile,) = pooled(blocks, rows=weights.shape[0], keys=weights.shape[1])
    return tile


def test_a_small_map_is_its_own_tile():
    tile = tile_of(np.array([[1.0, 0.0], [0.25, 0.0625]]))
    assert tile.cells.tolist() == [[255, 0], [128, 64]]
    assert (tile.largest, tile.queries, tile.keys) == (1.0, 2, 2)


def test_shades_are_of_the_largest_share():
    tile = tile_of(np.array([[0.25, 0.0625]]))
    assert tile.cells.tolist() == [[255, 128]]
    assert tile.largest == 0.25


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("rows, keys", [(64, 65), (100, 3), (512, 700), (1, 129)])
def test_a_cell_is_the_largest_of_what_it_covers(rows, keys, size):
    weights = np.random.default_rng(rows).dirichlet(np.full(keys, 0.1), rows)
    tile = tile_of(weights, size=size)
    high, wide = min(rows, 64), min(keys, 64)
    assert tile.cells.shape == (high, wide)
    ends = [
        [place * n // cells for place in range(cells + 1)]
        for n, cells in ((rows, high), (keys, wide))
    ]
    for i in range(high):
        for j in range(wide):
            block = weights[ends[0][i] : ends[0][i + 1], ends[1][j] : ends[1][j + 1]]
            assert tile.cells[i, j] == round(255 * np.sqrt(block.max() / weights.max()))


def test_a_map_without_any_weight_is_empty():
    assert tile_of(np.zeros((2, 3))).cells.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_every_head_has_a_tile_of_the_first_of_a_batch(monkeypatch):
    torch.manual_seed(0)
    attention = torch.nn.Sequential(Attention(width=12, heads=3)).eval()
    with torch.no_grad(), probe(attention) as found:
        attention(torch.randn(2, 9, 12))
    whole = [tile.cells.tolist() for tile in tiles_of(found, "0")]
    monkeypatch.setattr(module, "ROOM", 2 * 3 * 9 * 2)  # two rows
    assert [tile.cells.tolist() for tile in tiles_of(found, "0")] == whole
    expected = [tile_of(head).cells.tolist() for head in found.maps("0")[0].double().numpy()]
    assert whole == expected


def test_steps_of_a_decoder_are_rows_of_one_map():
    def call(keys):
        return SimpleNamespace(shape=(1, 2, 1, keys))

    rows = [torch.rand(1, 2, 1, keys) for keys in (1, 2, 3)]
    found = SimpleNamespace(
        calls=lambda site: [call(each.shape[3]) for each in rows],
        blocks=lambda site, *, call, block: [SimpleNamespace(weights=rows[call])],
    )
    tile = tiles_of(found, "decoder")[1]
    assert (tile.queries, tile.keys) == (3, 3)
    widened = np.zeros((3, 3))
    for row, each in enumerate(rows):
        widened[row, : row + 1] = each[0, 1, 0].double()
    assert tile.cells.tolist() == tile_of(widened).cells.tolist()
