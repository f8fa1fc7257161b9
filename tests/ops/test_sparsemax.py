"""Sparsemax attention keeps the contract, and is the projection onto all possible weights."""

import math

import pytest
import torch

from heedful.mask import Mask
from heedful.ops.entmax import entmax_weights
from heedful.ops.sparsemax import sparsemax_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings


class TestSparsemax(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["sparsemax"]


def weigh(*scores, mask=None):
    """The weights of one query, whose score with each key is given."""
    key = torch.tensor(scores, dtype=torch.float64).view(1, 1, -1, 1)
    return sparsemax_weights(torch.ones_like(key[:, :, :1]), key, mask=mask)[0, 0, 0].tolist()


def test_is_the_nearest_point_of_the_simplex():
    assert weigh(3, 1, 0.5) == [1, 0, 0]
    assert weigh(0.5, 0.25, 0.25) == [0.5, 0.25, 0.25]  # it sums to one already
    assert weigh(1, 0.5, -3) == [0.75, 0.25, 0]
    assert weigh(1, 1, 1, 1) == [0.25] * 4


def test_no_other_weights_are_nearer():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(1, 1, 6, 1, generator=generator, dtype=torch.float64)
    found = sparsemax_weights(torch.ones_like(scores[:, :, :1]), scores).flatten()
    others = torch.rand(1000, 6, generator=generator, dtype=torch.float64)
    others = others / others.sum(-1, keepdim=True)
    distance = (found - scores.flatten()).norm()
    assert (((others - scores.flatten()).norm(dim=-1)) >= distance).all()


def test_hidden_keys_leave_the_projection():
    assert weigh(9, 1, 0.5, mask=Mask.dense(torch.tensor([[False, True, True]]))) == [0, 0.75, 0.25]


def test_is_entmax_of_two():
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(2, 4, 5, 3, generator=generator)
    key = torch.randn(2, 2, 40, 3, generator=generator)
    want = sparsemax_weights(query, key)
    assert torch.equal(entmax_weights(query, key, alpha=2.0), want)
    searched = entmax_weights(query, key, alpha=torch.full((4,), 2.0))  # another algorithm
    assert_close(searched, want.double(), roundings=roundings(torch.float32, 40, 40), largest=1.0)


def test_scores_that_are_no_numbers_give_none():
    inf = float("inf")
    assert all(math.isnan(weight) for weight in weigh(1, float("nan"), 2))
    assert all(math.isnan(weight) for weight in weigh(inf, inf))
