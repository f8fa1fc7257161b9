"""The cache gives back what was put in, in any pieces, and after any choice of rows."""

import copy
import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.nn import KeyValueCache
from heedful.selection import Pages


def draw(length, *, batch=2, heads=3, dim=4, seed=1):
    return torch.randn(batch, heads, length, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("split", [(1,) * 40, (40,), (5, 1, 1, 33), (1, 39), (16, 16, 8)], ids=str)
def test_gives_back_what_was_put_in(split):
    cache, key, value = KeyValueCache(), draw(40), draw(40, dim=6, seed=2)
    stop = 0
    for length in split:
        part = slice(stop, stop + length)
        stop += length
        keys, values = cache.append(key[:, :, part], value[:, :, part])
        assert cache.length == stop
        assert torch.equal(keys, key[:, :, :stop])
        assert torch.equal(values, value[:, :, :stop])
    assert torch.equal(cache.stored()[0], key)
    assert torch.equal(cache.stored()[1], value)


def test_appending_one_at_a_time_rarely_copies():
    cache, places = KeyValueCache(), set()
    for _ in range(256):
        keys, _ = cache.append(draw(1), draw(1))
        places.add(keys.data_ptr())
        assert keys.untyped_storage().nbytes() <= max(16, 2 * cache.length) * keys[:, :, :1].nbytes
    assert len(places) <= 5  # room for 16, 32, 64, 128, 256


def test_select_keeps_rows_in_order_and_more_than_once():
    cache, key, value = KeyValueCache(), draw(5), draw(5, dim=6, seed=2)
    cache.append(key, value)
    cache.select(torch.tensor([1, 0, 1]))
    more = draw(1, batch=3, seed=3), draw(1, batch=3, dim=6, seed=4)
    keys, values = cache.append(*more)
    assert torch.equal(keys, torch.cat([key[[1, 0, 1]], more[0]], 2))
    assert torch.equal(values, torch.cat([value[[1, 0, 1]], more[1]], 2))


def test_selecting_rows_of_nothing_is_nothing():
    cache = KeyValueCache()
    cache.select(torch.tensor([1, 0]))
    assert cache.length == 0
    message = "a cache must be filled before it is read, got an empty one"
    with pytest.raises(ShapeError, match=message):
        cache.stored()


# ---- pages ---------------------------------------------------------------------------------------


def assert_pages_of(cache, page):
    pages, want = cache.pages(page), Pages.of(cache.stored()[0], page)
    assert (pages.page, pages.length) == (page, cache.length)
    assert torch.equal(pages.largest, want.largest)
    assert torch.equal(pages.smallest, want.smallest)


@pytest.mark.parametrize(
    "deeds",
    [
        "1" * 20,
        [7, "ask", 1, 1, "ask", 9, 1, "ask"],
        [7, [1, 0, 1], "ask", 2],
        [7, "ask", [1, 1], 3, [0], 1, "ask", 4, [0, 0]],
        ["ask other", 8, "ask", 1, "ask other", 2, "ask"],
        [4, "ask", 0, "ask", "ask"],
    ],
    ids=str,
)
def test_pages_are_those_of_all_keys(deeds):
    cache, batch = KeyValueCache(), 2
    cache.append(draw(5), draw(5, dim=6))
    for seed, deed in enumerate(deeds):
        if deed in ("ask", "ask other"):
            assert_pages_of(cache, 3 if deed == "ask" else 2)
        elif isinstance(deed, list):
            cache.select(torch.tensor(deed))
            batch = len(deed)
        else:
            more = int(deed)
            cache.append(draw(more, batch=batch, seed=seed), draw(more, batch=batch, dim=6))
    assert_pages_of(cache, 3)


def test_pages_are_kept_and_take_up_new_keys_only(monkeypatch):
    cache, taken = KeyValueCache(), []
    extend = Pages.extend
    monkeypatch.setattr(Pages, "extend", lambda self, key: [taken.append(key), extend(self, key)])
    for length in (9, 1, 1):
        cache.append(draw(length), draw(length))
        assert cache.pages(4) is cache.pages(4)
    assert [key.shape[2] for key in taken] == [9, 1, 1]


def test_default_page_is_that_of_pages():
    cache = KeyValueCache()
    cache.append(draw(5), draw(5))
    assert cache.pages().page == Pages().page == 16


def test_a_copy_and_what_it_is_of_go_on_by_themselves():
    cache = KeyValueCache()
    for number in (1.0, 2.0):  # one by one, so that there is room for more
        cache.append(torch.full((1, 1, 1, 3), number), torch.full((1, 1, 1, 2), number))
    other, third = copy.copy(cache), copy.copy(cache)
    for each, number in ((other, 3.0), (cache, 4.0), (copy.copy(other), 5.0), (other, 6.0)):
        each.append(torch.full((1, 1, 1, 3), number), torch.full((1, 1, 1, 2), number))
    for each, numbers in ((cache, [1, 2, 4]), (other, [1, 2, 3, 6]), (third, [1, 2])):
        assert all(x[0, 0, :, 0].tolist() == numbers for x in each.stored())


def test_a_copy_leaves_the_pages_as_they_are():
    cache = KeyValueCache()
    cache.append(draw(5), draw(5, dim=6))
    want = cache.pages(3).largest.clone()
    other = copy.copy(cache)
    other.append(99 * draw(1), draw(1, dim=6))
    assert_pages_of(other, 3)
    assert (other.length, cache.length) == (6, 5)
    assert torch.equal(cache.pages(3).largest, want)


def test_a_state_in_place_of_keys_forgets_the_pages():
    cache = KeyValueCache()
    cache.append(draw(1), draw(1, dim=6))
    cache.pages(3)
    cache.carry(draw(1, seed=5), draw(1, dim=6), positions=0)
    assert_pages_of(cache, 3)


def test_rejects_pages_of_nothing():
    message = "a cache must be filled before it is read, got an empty one"
    with pytest.raises(ShapeError, match=message):
        KeyValueCache().pages()
    cache = KeyValueCache()
    cache.append(draw(1), draw(1))
    with pytest.raises(ConfigError, match="page must be at least 1, got 0"):
        cache.pages(0)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, value, message",
    [
        (
            draw(1, batch=5),
            draw(1, batch=5, dim=6),
            "key must match the cache in batch, heads and dim, got (5, 3, 1, 4) for (2, 3, 7, 4)",
        ),
        (
            draw(1, heads=1),
            draw(1, heads=1, dim=6),
            "key must match the cache in batch, heads and dim, got (2, 1, 1, 4) for (2, 3, 7, 4)",
        ),
        (
            draw(1),
            draw(1, dim=1),
            "value must match the cache in batch, heads and dim, got (2, 3, 1, 1) for (2, 3, 7, 6)",
        ),
        (
            draw(5),
            draw(1, dim=6),
            "key and value must have the same batch, heads and length, "
            "got (2, 3, 5, 4) and (2, 3, 1, 6)",
        ),
    ],
)
def test_rejects_what_does_not_fit_and_stays_as_it_was(key, value, message):
    cache = KeyValueCache()
    cache.append(draw(7), draw(7, dim=6, seed=2))
    with pytest.raises(ShapeError, match=re.escape(message)):
        cache.append(key, value)
    assert torch.equal(cache.stored()[0], draw(7))
    assert torch.equal(cache.stored()[1], draw(7, dim=6, seed=2))
