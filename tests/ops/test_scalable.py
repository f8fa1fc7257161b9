"""Scalable-softmax attention keeps the contract, and stays as sharp in a long text."""

import math
import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.scalable import scalable_attention, scalable_weights
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings


class TestScalable(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["scalable"]


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_is_softmax_where_strength_undoes_the_logarithm():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    strength = torch.full((4,), 1 / math.log(7), dtype=torch.float64)
    limit = 2 * roundings(torch.float64, 3, 7)
    want = scaled_dot_weights(query, key)
    assert_close(scalable_weights(query, key, strength=strength), want, roundings=limit, largest=1)


@pytest.mark.parametrize("keys", [4, 64, 4096])
def test_a_margin_wins_at_any_length(keys):
    # n^s / (n^s + n - 1): with s = 2 the largest weight grows to 1, where softmax's falls to 0.
    key = torch.zeros(1, 1, keys, 1, dtype=torch.float64)
    key[..., 0, :] = 1
    strength = torch.tensor([2.0], dtype=torch.float64)
    weights = scalable_weights(torch.ones_like(key[:, :, :1]), key, strength=strength)
    assert weights[0, 0, 0, 0].item() == pytest.approx(keys**2 / (keys**2 + keys - 1))


def test_a_query_that_sees_one_key_gives_it_all():
    query, key, value = draw(1, 2, 3, 3), draw(1, 2, 3, 3), draw(1, 2, 3, 6)
    strength = torch.tensor([5.0, -5.0], dtype=torch.float64)
    mask = Mask.window(1)
    output = scalable_attention(query, key, value, strength=strength, mask=mask)
    assert torch.equal(output, value)


def test_the_count_is_of_visible_keys():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    strength = draw(4)
    mask = Mask.lengths(torch.tensor([4, 4]))
    cut = scalable_weights(query, key[:, :, :4], strength=strength)
    assert torch.equal(scalable_weights(query, key, strength=strength, mask=mask)[..., :4], cut)


def test_a_mask_over_queries_alone_counts_all_keys():
    query, key, strength = draw(2, 4, 5, 3), draw(2, 2, 7, 3), draw(4)
    mask = Mask.dense(torch.tensor([[True], [False], [True], [True], [False]]))
    weights = scalable_weights(query, key, strength=strength, mask=mask)
    want = scalable_weights(query, key, strength=strength)
    want[:, :, [1, 4]] = 0
    assert torch.equal(weights, want)


def test_rejects_a_strength_that_does_not_fit():
    message = re.escape("strength must have shape (heads=4), got (2,)")
    with pytest.raises(ShapeError, match=message):
        scalable_weights(draw(2, 4, 5, 3), draw(2, 2, 7, 3), strength=torch.zeros(2))
