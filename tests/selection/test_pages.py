"""Bounds bound every score, pages grow as the cache does, and the best pages are chosen."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.selection import Pages

BATCH, HEADS, KV_HEADS, DIM, PAGE = 2, 6, 3, 5, 4


def keys(length, dtype=torch.float64, seed=1, dim=DIM):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, KV_HEADS, length, dim, generator=generator).to(dtype)


def queries(length=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(BATCH, HEADS, length, DIM, generator=generator).to(dtype)


def bounds(query, key, page):
    """The definition, by loops."""
    query, key = query.double().numpy(), key.double().numpy()
    length, group = key.shape[2], query.shape[1] // key.shape[1]
    starts = range(0, length, page)
    result = np.zeros((*query.shape[:3], len(starts)))
    for b, h, i, j in np.ndindex(result.shape):
        held = key[b, h // group, starts[j] : starts[j] + page]
        for d in range(query.shape[3]):
            products = [query[b, h, i, d] * row[d] for row in held]
            result[b, h, i, j] += max(products)
    return torch.from_numpy(result)


# ---- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [1, 3, 4, 13, 16])
@pytest.mark.parametrize("count", [1, 3])
def test_bounds_are_what_loops_say(length, dtype, count):
    key, query = keys(length, dtype), queries(count, dtype)
    got, want = Pages.of(key, PAGE).bounds(query), bounds(query, key, PAGE)
    assert got.dtype == dtype
    band = 4 * torch.finfo(dtype).eps * want.abs().max().item()
    torch.testing.assert_close(got.double(), want, rtol=0, atol=band)


@pytest.mark.parametrize("page", [1, 4, 16])
def test_no_score_is_above_its_bound(page):
    key, query = keys(37), queries(3)
    scores = query @ key.repeat_interleave(HEADS // KV_HEADS, 1).mT
    every = Pages.of(key, page).bounds(query).repeat_interleave(page, 3)[..., :37]
    rounding = 8 * torch.finfo(torch.float64).eps * every.abs().max()
    assert (scores <= every + rounding).all()


def test_pages_of_one_key_are_the_scores():
    key, query = keys(7), queries(2)
    scores = query @ key.repeat_interleave(HEADS // KV_HEADS, 1).mT
    torch.testing.assert_close(Pages.of(key, 1).bounds(query), scores)


def test_largest_and_smallest():
    key = keys(10)
    pages = Pages.of(key, PAGE)
    for i, part in enumerate((key[:, :, :4], key[:, :, 4:8], key[:, :, 8:])):
        assert torch.equal(pages.largest[:, :, i], part.amax(2))
        assert torch.equal(pages.smallest[:, :, i], part.amin(2))


# ---- growing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [[1] * 19, [5, 1, 1, 9, 3], [4, 4, 11], [0, 3, 0, 1, 15], [2, 1, 16], [19]], ids=str
)
def test_extended_is_made_at_once(parts):
    key, query = keys(19), queries()
    pages, length = Pages(PAGE), 0
    for part in parts:
        pages.extend(key[:, :, length : length + part])
        length += part
        assert pages.length == length
        assert len(pages) == -(-length // PAGE)
        if length:
            whole = Pages.of(key[:, :, :length], PAGE)
            assert torch.equal(pages.largest, whole.largest)
            assert torch.equal(pages.smallest, whole.smallest)
            assert torch.equal(pages.bounds(query), whole.bounds(query))


def test_keys_are_not_kept():
    key = keys(6)
    pages = Pages.of(key, PAGE)
    want = pages.largest.clone()
    key.fill_(99.0)
    assert torch.equal(pages.largest, want)


def test_room_doubles():
    pages, places = Pages.of(keys(PAGE), PAGE), set()
    for _ in range(64 * PAGE):
        pages.extend(keys(1))
        places.add(pages.largest.data_ptr())
    assert len(places) <= 8


@pytest.mark.parametrize("rows", [[1, 0], [1], [0, 1, 1]], ids=str)
def test_chosen_rows_go_on_as_if_made_of_them(rows):
    key, more = keys(7), keys(9, seed=2)
    pages, rows = Pages.of(key, PAGE), torch.tensor(rows)
    pages.select(rows)
    pages.extend(more[rows])
    whole = Pages.of(torch.cat([key, more], 2)[rows], PAGE)
    assert (pages.length, len(pages)) == (16, 4)
    assert torch.equal(pages.largest, whole.largest)
    assert torch.equal(pages.smallest, whole.smallest)


def test_choosing_rows_of_nothing_is_nothing():
    pages = Pages(PAGE)
    pages.select(torch.tensor([1]))
    assert pages.length == 0


def test_no_gradient_goes_through():
    pages = Pages.of(keys(6).requires_grad_(), PAGE)
    pages.extend(keys(3).requires_grad_())
    assert not pages.bounds(queries().requires_grad_()).requires_grad


# ---- the best pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("sinks, recent", [(0, 0), (1, 1), (2, 0), (0, 3)])
@pytest.mark.parametrize("count", [3, 5, 99])
def test_chooses_the_highest_bounds(count, sinks, recent):
    key, query = keys(38), queries()
    want = bounds(query, key, PAGE)
    total = want.shape[3]
    grid = Pages.of(key, PAGE).top(query, count, sinks=sinks, recent=recent)
    assert grid.shape == (BATCH, HEADS, 1, total)
    for choice, bound in zip(grid.flatten(0, 2), want.flatten(0, 2), strict=True):
        forced = {*range(sinks), *range(total - recent, total)}
        others = sorted(set(range(total)) - forced, key=lambda j: -bound[j])
        chosen = forced | set(others[: min(count, total) - len(forced)])
        assert set(choice.nonzero().flatten().tolist()) == chosen


def test_defaults_keep_both_ends():
    grid = Pages.of(keys(38), PAGE).top(queries(), 2)
    assert grid[0, 0, 0].nonzero().flatten().tolist() == [0, 9]


@pytest.mark.parametrize("length", [1, 3, 5])
def test_few_pages_are_all_chosen(length):
    assert Pages.of(keys(length), PAGE).top(queries(), 5, sinks=2, recent=3).all()


@pytest.mark.parametrize("size", [(BATCH, HEADS), (1, HEADS), (BATCH, 1)], ids=str)
@pytest.mark.parametrize("worth", [99.0, float("nan")])
def test_pages_that_are_not_shown_are_not_chosen(size, worth):
    generator = torch.Generator().manual_seed(5)
    shown = torch.rand(*size, 1, 10, generator=generator) < 0.6
    key, query = keys(38), queries()
    want = bounds(query, key, PAGE).masked_fill(~shown, -torch.inf)
    hidden = ~shown.flatten(0, 1).any((0, 1)).repeat_interleave(PAGE)[:38]
    key[:, :, hidden] = worth
    grid = Pages.of(key, PAGE).top(query, 3, sinks=0, recent=0, shown=shown)
    assert torch.equal(grid, (want >= want.sort(-1).values[..., -3:-2]) & shown)


def test_ends_are_counted_among_the_pages_that_are_shown():
    shown = torch.tensor([0, 1, 1, 0, 1, 1, 1, 1, 0, 0]).bool()[None, None, None]
    grid = Pages.of(keys(38), PAGE).top(queries(), 3, sinks=2, recent=1, shown=shown)
    assert grid.flatten(0, 2).nonzero()[:, 1].view(-1, 3).tolist() == [[1, 2, 7]] * 12


def test_sure_pages_are_chosen_first_and_all_of_them():
    sure = torch.tensor([0, 0, 1, 1, 0, 0, 1, 0, 0, 0]).bool()[None, None, None]
    pages, plain = Pages.of(keys(38), PAGE), {"sinks": 0, "recent": 0}
    for count in (1, 3):
        grid = pages.top(queries(), count, sure=sure, **plain)
        assert torch.equal(grid, sure.expand_as(grid))
    grid = pages.top(queries(), 4, sure=sure, **plain)
    assert (grid.sum(-1) == 4).all()
    others = bounds(queries(), keys(38), PAGE).masked_fill(sure, -torch.inf).argmax(-1)
    assert torch.equal((grid & ~sure).int().argmax(-1), others)
    grid = pages.top(queries(), 3, sure=sure, shown=~sure, **plain)
    assert not (grid & sure).any()


def test_fewer_pages_than_may_be_chosen():
    shown = torch.zeros(1, 1, 1, 10, dtype=torch.bool)
    assert not Pages.of(keys(38), PAGE).top(queries(), 4, shown=shown).any()
    shown[..., 3] = True
    grid = Pages.of(keys(38), PAGE).top(queries(), 4, shown=shown)
    assert torch.equal(grid, shown.expand(BATCH, HEADS, 1, 10))


def test_fits_the_mask_it_is_made_for():
    grid = Pages.of(keys(38), PAGE).top(queries(), 3)
    mask = Mask.blocks(grid, block=PAGE)
    visible = mask.to_bool(1, 38, batch=BATCH, heads=HEADS)
    assert torch.equal(visible[..., ::PAGE], grid)


def test_default_page():
    assert Pages().page == Pages.of(keys(3)).page == 16


# ---- refusals ------------------------------------------------------------------------------------


def test_rejects_pages_of_nothing():
    with pytest.raises(ConfigError, match="page must be at least 1, got 0"):
        Pages(0)


def test_rejects_to_be_read_when_empty():
    with pytest.raises(ShapeError, match="pages must hold keys before they are read, got none"):
        Pages().bounds(queries())


@pytest.mark.parametrize(
    "key, error, message",
    [
        (torch.ones(3, 2, 5), ShapeError, "key must be 4-D (batch, heads, length, dim), got a"),
        (torch.ones(2, 3, 2, 5).int(), ConfigError, "key must be floating-point, got torch.int32"),
        (
            torch.ones(2, 4, 2, 5),
            ShapeError,
            "key must match the pages in batch, heads and dim, "
            "got (2, 4, 2, 5) for keys of shape (2, 3, 7, 5)",
        ),
        (torch.ones(1, 3, 2, 5), ShapeError, "got (1, 3, 2, 5) for keys of shape (2, 3, 7, 5)"),
        (torch.ones(2, 3, 2, 6), ShapeError, "got (2, 3, 2, 6) for keys of shape (2, 3, 7, 5)"),
    ],
)
def test_rejects_keys(key, error, message):
    pages = Pages.of(keys(7), PAGE)
    with pytest.raises(error, match=re.escape(message)):
        pages.extend(key)
    assert pages.length == 7


@pytest.mark.parametrize(
    "query, error, message",
    [
        (torch.ones(6, 1, 5), ShapeError, "query must be 4-D (batch, heads, length, dim), got a"),
        (torch.ones(2, 6, 1, 5).int(), ConfigError, "query must be floating-point, got torch.int"),
        (
            torch.ones(1, 6, 1, 5),
            ShapeError,
            "query must fit the keys in batch, heads and dim, "
            "got (1, 6, 1, 5) for keys of shape (2, 3, 7, 5)",
        ),
        (torch.ones(2, 4, 1, 5), ShapeError, "got (2, 4, 1, 5) for keys of shape (2, 3, 7, 5)"),
        (torch.ones(2, 6, 1, 8), ShapeError, "got (2, 6, 1, 8) for keys of shape (2, 3, 7, 5)"),
    ],
)
def test_rejects_queries(query, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Pages.of(keys(7), PAGE).bounds(query)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"count": 0, "sinks": 0, "recent": 0},
            ConfigError,
            "count must be at least 1 and sinks + recent, got count=0, sinks=0, recent=0",
        ),
        (
            {"count": 4, "sinks": 2, "recent": 3},
            ConfigError,
            "count must be at least 1 and sinks + recent, got count=4, sinks=2, recent=3",
        ),
        ({"count": 4, "sinks": -1}, ConfigError, "sinks must be at least 0, got -1"),
        ({"count": 4, "recent": -2}, ConfigError, "recent must be at least 0, got -2"),
        ({"count": 4, "query": queries(3)}, ShapeError, "query must have length 1, got 3"),
        (
            {"count": 4, "shown": torch.ones(2, 3, 1, 2).bool()},
            ShapeError,
            "shown must be of shape (#batch, #heads, 1, pages) for (2, 6, 1, 2), got (2, 3, 1, 2)",
        ),
        ({"count": 4, "shown": torch.ones(1, 1, 1, 7).bool()}, ShapeError, "got (1, 1, 1, 7)"),
        (
            {"count": 4, "sure": torch.ones(2, 6, 2, 2).bool()},
            ShapeError,
            "sure must be of shape (#batch, #heads, 1, pages) for (2, 6, 1, 2), got (2, 6, 2, 2)",
        ),
        ({"count": 4, "shown": torch.ones(2).bool()}, ShapeError, "got (2,)"),
    ],
)
def test_rejects_to_choose(changes, error, message):
    call = {"query": queries()} | changes
    query, count = call.pop("query"), call.pop("count")
    with pytest.raises(error, match=re.escape(message)):
        Pages.of(keys(7), PAGE).top(query, count, **call)
