"""Masks seen from further away: exact for each kind alone, and never too little."""

import itertools

import pytest
import torch

from heedful.mask import Mask
from heedful.selection._sight import Sight
from heedful.testing.masks import Sizes


def look(mask, query, key, width, rows=None, columns=None):
    """All cells as one table."""
    sight = Sight.of(mask, query, key, width)
    rows = slice(0, sight.queries.count) if rows is None else rows
    columns = slice(0, sight.keys.count) if columns is None else columns
    visible = sight.visible(rows, columns)
    shape = (*query.shape[:2], rows.stop - rows.start, columns.stop - columns.start)
    return torch.ones(shape, dtype=torch.bool) if visible is None else visible.expand(shape)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_one_kind_is_exact(sizes, kind, width, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes)
    want = torch.from_numpy(oracle.pooled(visible, width))
    assert torch.equal(look(mask, query, key, width), want)


def test_beyond_its_columns_a_row_sees_nothing(sizes, kind, oracle, make_tensors, make_mask):
    mask, visible = make_mask(kind, sizes)
    query, key = make_tensors(sizes)
    want, sight = oracle.pooled(visible, 4), Sight.of(mask, query, key, 4)
    for start, stop in itertools.combinations(range(sight.queries.count + 1), 2):
        columns = sight.columns(slice(start, stop))
        assert 0 <= columns.start
        assert columns.stop <= sight.keys.count
        outside = want[:, :, start:stop].copy()
        outside[..., columns] = False
        assert not outside.any()


def test_columns_leave_out_what_a_band_hides():
    query, key = torch.zeros(1, 1, 32, 5), torch.zeros(1, 1, 32, 5)
    assert Sight.of(Mask.causal(), query, key, 4).columns(slice(2, 4)) == slice(0, 4)
    assert Sight.of(Mask.window(9), query, key, 4).columns(slice(3, 5)) == slice(1, 5)
    assert Sight.of(Mask.window(9, sinks=2), query, key, 4).columns(slice(3, 5)) == slice(0, 5)


def test_some_rows_and_columns_are_a_part_of_all(sizes, kind, make_tensors, make_mask):
    mask, _ = make_mask(kind, sizes)
    query, key = make_tensors(sizes)
    every = look(mask, query, key, 4)
    for start in range(every.shape[2]):
        rows, columns = slice(start, min(start + 2, every.shape[2])), slice(1, every.shape[3])
        part = look(mask, query, key, 4, rows, columns)
        assert torch.equal(part, every[:, :, rows, columns])


@pytest.mark.parametrize(
    "other", [Mask.causal(), Mask.window(5, sinks=2), Mask.neighbourhood((32,), (5,))], ids=str
)
def test_several_parts_never_hide_too_much(kind, other, oracle, make_tensors, make_mask):
    sizes = Sizes(batch=2, heads=2, kv_heads=2, queries=32, keys=32, dim=5)
    mask, visible = make_mask(kind, sizes)
    together = other if mask is None else mask & other
    want = torch.from_numpy(oracle.pooled(visible & other.to_bool(32, 32).numpy(), 4))
    assert (look(together, *make_tensors(sizes), 4) >= want).all()


def test_a_band_without_width_shows_nothing():
    query, key = torch.zeros(1, 1, 17, 5), torch.zeros(1, 1, 15, 5)
    mask = Mask.causal() & Mask.anticausal("start")  # at most 2 behind, and at least 0 ahead
    assert not mask.to_bool(17, 15).any()
    assert not look(mask, query, key, 4).any()


def test_either_of_two_within_lengths_never_hides_too_much(sizes, oracle, make_tensors, make_mask):
    mask, visible = make_mask("either", sizes)
    want = torch.from_numpy(oracle.pooled(visible, 4))
    assert (look(mask, *make_tensors(sizes), 4) >= want).all()


@pytest.mark.parametrize(
    "mask",
    [
        Mask.causal() & Mask.segments((torch.arange(32) // 7)[None]),
        Mask.causal() & Mask.window(5) & Mask.lengths(torch.tensor([13])),
        Mask.causal() & Mask.blocks(torch.eye(4, dtype=torch.bool)[None, None], block=8),
    ],
    ids=["texts", "lengths", "blocks"],
)
def test_usual_masks_of_several_parts_are_exact(mask, oracle):
    tensor = torch.zeros(1, 1, 32, 5)
    want = torch.from_numpy(oracle.pooled(mask.to_bool(32, 32).numpy(), 4))
    assert torch.equal(look(mask, tensor, tensor, 4), want)
