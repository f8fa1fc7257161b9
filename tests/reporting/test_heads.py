from types import SimpleNamespace

import numpy as np
import pytest

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan
from heedful.reporting.heads import kept_heads, pooled


def test_a_small_map_is_its_own_tile():
    tile = pooled(np.array([[1.0, 0.0], [0.25, 0.0625]]))
    assert tile.cells.tolist() == [[255, 0], [128, 64]]
    assert (tile.largest, tile.queries, tile.keys) == (1.0, 2, 2)


def test_shades_are_of_the_largest_share():
    tile = pooled(np.array([[0.25, 0.0625]]))
    assert tile.cells.tolist() == [[255, 128]]
    assert tile.largest == 0.25


@pytest.mark.parametrize("rows, keys", [(64, 65), (100, 3), (512, 700), (1, 129)])
def test_a_cell_is_the_largest_of_what_it_covers(rows, keys):
    weights = np.random.default_rng(rows).dirichlet(np.full(keys, 0.1), rows)
    tile = pooled(weights)
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
    assert pooled(np.zeros((2, 3))).cells.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_heads_keep_their_first_numbers_through_several_moves():
    plan = Plan(
        moves={
            "a": (KeepHeads(heads=(0, 2, 5)), KeepHeads(heads=(1, 2))),
            "b": (DropSite(),),
            "c": (),
        }
    )
    found = kept_heads(SimpleNamespace(plan=plan))
    assert found == {"a": (2, 5), "b": (), "c": None}
    assert kept_heads(SimpleNamespace(plan=None)) == {}
