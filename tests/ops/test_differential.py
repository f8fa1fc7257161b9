"""Differential attention keeps the contract and is the difference of two maps."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.differential import differential_attention, differential_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import heads
from heedful.testing.tolerance import assert_close, roundings


def both(query, key, second_query, second_key):
    """Put two halves, which the contract draws one by one, behind each other."""
    second_key = second_key.repeat_interleave(key.shape[1] // second_key.shape[1], dim=1)
    return torch.cat([query, second_query], -1), torch.cat([key, second_key], -1)


def attention(query, key, value, *, second_query, second_key, subtracted, mask=None):
    query, key = both(query, key, second_query, second_key)
    return differential_attention(query, key, value, subtracted=subtracted, mask=mask)


def weights(query, key, *, second_query, second_key, subtracted, mask=None):
    query, key = both(query, key, second_query, second_key)
    return differential_weights(query, key, subtracted=subtracted, mask=mask)


def expected(query, key, value, sees, *, second_query, second_key, subtracted):
    query = np.concatenate([query, second_query], -1)
    key = np.concatenate([key, second_key], -1)
    return heads.differential(query, key, value, sees, subtracted=subtracted)


class TestDifferential(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["differential"]


class TestDifferentialWithAScale(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=lambda query, key, value, **given: differential_attention(
                evened(query), evened(key), value, **given
            ),
            weights=lambda query, key, **given: differential_weights(
                evened(query), evened(key), **given
            ),
            oracle=lambda query, key, value, sees, **given: heads.differential(
                np.pad(query, ((0, 0),) * 3 + ((0, 1),)),
                np.pad(key, ((0, 0),) * 3 + ((0, 1),)),
                value,
                sees,
                **given,
            ),
            extras={"subtracted": "heads"},
            settings={"scale": 0.7},
            normalised=False,
            positive=False,
        )


def evened(x):
    return torch.nn.functional.pad(x, (0, 1))


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


QUERY, KEY, VALUE = draw(2, 4, 5, 6), draw(2, 2, 7, 6, seed=2), draw(2, 2, 7, 3, seed=3)
SUBTRACTED = torch.tensor([0.8, 0.0, -0.5, 1.0], dtype=torch.float64)
SOME = Mask.causal() & Mask.lengths(torch.tensor([4, 7]))
LIMIT = 2 * roundings(torch.float64, 3, 7, 7)


@pytest.mark.parametrize("mask", [None, SOME], ids=["all", "some"])
def test_is_the_difference_of_two_scaled_dot_attentions(mask):
    share = SUBTRACTED[:, None, None]
    halves = [(QUERY[..., :3], KEY[..., :3]), (QUERY[..., 3:], KEY[..., 3:])]
    first, second = (scaled_dot_weights(*half, mask=mask) for half in halves)
    actual = differential_weights(QUERY, KEY, subtracted=SUBTRACTED, mask=mask)
    assert_close(actual, first - share * second, roundings=LIMIT, largest=1.0)
    first, second = (scaled_dot_attention(*half, VALUE, mask=mask) for half in halves)
    actual = differential_attention(QUERY, KEY, VALUE, subtracted=SUBTRACTED, mask=mask)
    largest = 2 * VALUE.abs().max().item()
    assert_close(actual, first - share * second, roundings=LIMIT, largest=largest)


def test_weights_sum_to_what_was_not_taken_off():
    weights = differential_weights(QUERY, KEY, subtracted=SUBTRACTED, mask=SOME)
    seen = SOME.to_bool(5, 7, batch=2)
    want = ((1 - SUBTRACTED[:, None]) * seen.any(-1)).expand(2, 4, 5)
    assert_close(weights.sum(-1), want, roundings=LIMIT, largest=2.0)
    assert (weights < 0).any()


def test_equal_halves_leave_the_share_that_is_not_taken_off():
    query, key = QUERY[..., :3].repeat(1, 1, 1, 2), KEY[..., :3].repeat(1, 1, 1, 2)
    actual = differential_weights(query, key, subtracted=SUBTRACTED)
    want = (1 - SUBTRACTED[:, None, None]) * scaled_dot_weights(QUERY[..., :3], KEY[..., :3])
    assert_close(actual, want, roundings=LIMIT, largest=2.0)


@pytest.mark.parametrize("half", [slice(0, 3), slice(3, 6)], ids=["first", "second"])
def test_neither_half_of_a_hidden_key_matters(half):
    mask = Mask.lengths(torch.tensor([4, 6]))
    changed = KEY.clone()
    changed[0, :, 4:, half], changed[1, :, 6:, half] = 100.0, -50.0
    given = {"subtracted": SUBTRACTED, "mask": mask}
    want = differential_attention(QUERY, KEY, VALUE, **given)
    assert torch.equal(differential_attention(QUERY, changed, VALUE, **given), want)


def test_rejects_an_odd_dim():
    query = draw(2, 4, 5, 3)
    with pytest.raises(ShapeError, match="dim must be even because it is halved, got 3"):
        differential_weights(query, query, subtracted=SUBTRACTED)


def test_rejects_a_share_that_does_not_fit():
    message = re.escape("subtracted must have shape (heads=4), got (1,)")
    with pytest.raises(ShapeError, match=message):
        differential_weights(QUERY, KEY, subtracted=SUBTRACTED[:1])
