"""Sigmoid attention keeps the contract; its weights need not sum to one."""

import math
import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.sigmoid import sigmoid_attention, sigmoid_weights
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import normalisers


class TestSigmoid(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["sigmoid"]


class TestWithBiasPerHead(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=sigmoid_attention,
            weights=sigmoid_weights,
            oracle=normalisers.sigmoid,
            extras={"bias": "heads"},
            settings={"scale": 0.4},
            normalised=False,
        )


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_keys_do_not_compete():
    query, key = draw(1, 1, 1, 3), draw(1, 1, 7, 3)
    before = sigmoid_weights(query, key, bias=-1.5)
    other = torch.cat([key[:, :, :6], draw(1, 1, 1, 3, seed=2)], 2)
    after = sigmoid_weights(query, other, bias=-1.5)
    assert torch.equal(after[..., :6], before[..., :6])
    assert after[..., 6] != before[..., 6]


def test_one_bias_is_the_same_bias_for_every_head():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    per_head = torch.full((4,), -1.5, dtype=torch.float64)
    want = sigmoid_weights(query, key, bias=per_head)
    assert torch.equal(sigmoid_weights(query, key, bias=-1.5), want)


@pytest.mark.parametrize(
    "mask",
    [
        None,
        Mask.causal(),
        Mask.lengths(torch.tensor([1, 6])),
        Mask.dense(torch.tensor([[True], [False], [True], [True], [False]])),
    ],
)
def test_the_default_bias_counts_the_keys_that_are_seen(mask):
    # Without a preference every visible key gets 1 / (n + 1), so a row sums to n / (n + 1).
    query, key = torch.zeros(2, 4, 5, 3), torch.zeros(2, 4, 7, 3)
    weights = sigmoid_weights(query, key, mask=mask)
    for row in weights.flatten(0, 2):
        seen = int((row > 0).sum())
        assert row.sum().item() == pytest.approx(seen / (seen + 1))


def test_a_bias_decides_what_a_score_of_zero_is_worth():
    weights = sigmoid_weights(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 2, 3), bias=1.0)
    assert weights.flatten().tolist() == pytest.approx([1 / (1 + math.exp(-1))] * 2)


def test_rejects_a_bias_that_does_not_fit():
    message = re.escape("bias must have shape (heads=4), got (2,)")
    with pytest.raises(ShapeError, match=message):
        sigmoid_weights(draw(2, 4, 5, 3), draw(2, 2, 7, 3), bias=torch.zeros(2))
