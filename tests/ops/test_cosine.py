"""Cosine attention keeps the contract, forgets lengths, and survives vectors that have none."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.cosine import cosine_attention, cosine_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings


class TestCosine(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["cosine"]


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


SCALE = torch.tensor([0.5, 2.0, -1.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize("factor", [1e-9, 1e-3, 7.0, 1e30], ids=str)
def test_lengths_do_not_matter(factor):
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2)
    want = cosine_weights(query, key, scale=SCALE)
    limit = 10 * roundings(query.dtype, 3, 3, 3, 7)  # the largest scale multiplies the error
    for given in ((query * factor, key), (query, key * factor)):
        assert_close(cosine_weights(*given, scale=SCALE), want, roundings=limit, largest=1.0)


@pytest.mark.parametrize("factor", [1e-10, 1e25], ids=str)
def test_squares_beyond_float32_do_not_matter(factor):
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2)
    want = cosine_weights(query, key, scale=SCALE)
    query, key = (query * factor).float(), (key * factor).float()
    squares = query.square().sum(-1)
    assert squares.isinf().any() if factor > 1 else squares.max() < torch.finfo(query.dtype).eps
    limit = 10 * roundings(torch.float32, 3, 3, 3, 7)
    assert_close(
        cosine_weights(query, key, scale=SCALE.float()), want, roundings=limit, largest=1.0
    )


def test_parallel_vectors_score_the_scale_and_opposite_ones_less_it():
    query = torch.tensor([3.0, 4.0], dtype=torch.float64).view(1, 1, 1, 2)
    key = torch.stack([2 * query, -query, query.flip(-1) * torch.tensor([-1.0, 1.0])], 2)
    scale = torch.tensor([1.5], dtype=torch.float64)
    actual = cosine_weights(query, key.view(1, 1, 3, 2), scale=scale).flatten()
    want = torch.tensor([1.5, -1.5, 0.0], dtype=torch.float64).softmax(0)
    assert_close(actual, want, roundings=roundings(torch.float64, 2, 2, 3), largest=1.0)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("mask", [None, Mask.lengths(torch.tensor([6, 0]))], ids=["all", "some"])
def test_zero_vectors_score_zero_and_get_no_gradient(mask, dtype):
    query, key, value = (draw(2, 4, n, 3, seed=n, dtype=dtype) for n in (5, 7, 8))
    value = value[:, :, :7].contiguous()
    query[:, :, 1] = 0
    key[:, :, 2] = 0
    scale = SCALE.clone().to(dtype).requires_grad_()
    inputs = [x.requires_grad_() for x in (query, key, value)]
    cosine_attention(*inputs, scale=scale, mask=mask).float().square().sum().backward()
    for x in (*inputs, scale):
        assert x.grad.isfinite().all()
    assert query.grad[:, :, 1].abs().max() == 0
    assert key.grad[:, :, 2].abs().max() == 0
    assert query.grad[0, :, 0].abs().max() > 0
    weights = cosine_weights(query, key, scale=scale, mask=mask)
    even = 1 / (7 if mask is None else 6)  # there is nothing to choose by
    limit = roundings(dtype, 3, 7)
    want = torch.full((4, 6), even, dtype=torch.float64)
    assert_close(weights[0, :, 1, :6], want, roundings=limit, largest=1.0)


def test_vectors_without_direction_have_the_gradient_of_zero_vectors():
    query = (draw(1, 4, 5, 3) * 1e-14).requires_grad_()
    key = draw(1, 4, 7, 3, seed=2).requires_grad_()
    weights = cosine_weights(query, key, scale=SCALE)
    assert torch.equal(weights, torch.full_like(weights, 1).softmax(-1))
    weights.square().sum().backward()
    assert query.grad.abs().max() == 0
    assert key.grad.abs().max() == 0


def test_rejects_a_scale_that_does_not_fit():
    query = torch.zeros(2, 4, 5, 3)
    with pytest.raises(ShapeError, match=re.escape("scale must have shape (heads=4), got (2,)")):
        cosine_weights(query, query, scale=torch.zeros(2))
