"""Batches hold every example once, stay within the limit and change with the epoch."""

import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.batches import MULTIPLE, alike, rounded, size_batches
from heedful.errors import ConfigError

lengths = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=200)


def padded(batch, lengths):
    source, target = (max(lengths[i][side] for i in batch) for side in (0, 1))
    return len(batch) * sum(math.ceil(length / MULTIPLE) * MULTIPLE for length in (source, target))


@given(lengths=lengths, limit=st.integers(1, 900), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_every_example_once_and_never_too_many_tokens(lengths, limit, seed, epoch):
    sizes = rounded(np.array(lengths, np.int64).reshape(-1, 2))
    batches = size_batches(sizes, most=limit, seed=seed, epoch=epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(batch for batch in batches)
    assert all(len(b) == 1 or padded(b, lengths) <= limit for b in batches)
    assert batches == size_batches(sizes, most=limit, seed=seed, epoch=epoch)


@given(
    lengths=st.lists(st.integers(0, 90), max_size=60),
    most=st.integers(1, 9),
    tokens=st.none() | st.integers(1, 300),
)
def test_texts_alike_stand_together_within_both_limits(lengths, most, tokens):
    batches = list(alike(np.array(lengths, np.int64), most=most, tokens=tokens))
    rows = [row for batch in batches for row in batch]
    assert rows == sorted(range(len(lengths)), key=lengths.__getitem__)
    for batch, following in pairwise([*batches, []]):
        longest = max(lengths[row] for row in batch)
        assert 1 <= len(batch) <= most
        assert tokens is None or len(batch) == 1 or len(batch) * longest <= tokens
        if following:  # none is smaller than it has to be
            grown = (len(batch) + 1) * lengths[following[0]]
            assert len(batch) == most or (tokens is not None and grown > tokens)


def many(count):
    random = Random(3)
    return [(n := random.randint(3, 60), n + random.randint(-2, 9)) for _ in range(count)]


def padded_sizes(pairs):
    return rounded(np.array(pairs, np.int64))


def test_epochs_and_seeds_have_other_orders_and_other_company():
    sizes = padded_sizes(many(2_000))

    def company(**settings):
        batches = size_batches(sizes, most=900, **settings)
        return {frozenset(batch) for batch in batches}

    first = company(seed=1, epoch=0)
    for other in (company(seed=1, epoch=1), company(seed=2, epoch=0), company(seed=0, epoch=1)):
        assert len(first & other) < len(first) / 10


def test_batches_come_in_no_order_of_length():
    pairs = many(2_000)
    batches = size_batches(padded_sizes(pairs), most=900, seed=1, epoch=0)
    sizes = [pairs[batch[0]][0] for batch in batches]
    rising = sum(a <= b for a, b in pairwise(sizes))
    assert 0.3 < rising / len(sizes) < 0.7


def test_little_is_padding_and_shapes_are_few():
    pairs = many(50_000)
    batches = size_batches(padded_sizes(pairs), most=4_096, seed=1, epoch=0)
    assert sum(map(sum, pairs)) > 0.9 * sum(padded(batch, pairs) for batch in batches)
    shapes = {
        (len(batch), *rounded(np.array([pairs[i] for i in batch])).max(0)) for batch in batches
    }
    assert len(shapes) < len(batches) / 4


def test_no_examples_make_no_batches():
    assert size_batches(np.zeros((0, 2), np.int64), most=5, seed=1, epoch=0) == []


def test_rejects_a_limit_of_nothing():
    with pytest.raises(ConfigError, match="most must be at least 1, got 0"):
        size_batches([(1, 2)], most=0, seed=3, epoch=4)


def test_where_all_are_alike_a_batch_is_full_but_for_the_last():
    batches = size_batches(np.ones((23, 1), np.int64), most=5, seed=3, epoch=0)
    assert sorted(map(len, batches)) == [3, 5, 5, 5, 5]
    assert sorted(row for batch in batches for row in batch) == list(range(23))


def test_one_side_is_enough_and_three_are_summed():
    one = size_batches([[4], [4], [8], [9]], most=9, seed=1, epoch=0)
    assert sorted(map(sorted, one)) == [[0, 1], [2], [3]]
    three = size_batches([[1, 2, 3], [1, 2, 3], [1, 2, 3]], most=12, seed=1, epoch=0)
    assert sorted(map(len, three)) == [1, 2]
