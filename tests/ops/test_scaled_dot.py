"""Scaled dot-product attention keeps the contract, also with a bias and a scale of one's own."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops import scaled_dot_attention, scaled_dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestScaledDot(AttentionContract):
    every_case = True  # each kernel behind it has its own way with some masks of some sizes

    @pytest.fixture
    def claim(self):
        return CLAIMS["scaled_dot"]


class TestWithBiasAndScale(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=scaled_dot_attention,
            weights=scaled_dot_weights,
            oracle=oracle.scaled_dot,
            extras={"bias": "batch heads queries keys"},
            settings={"scale": 0.3},
            twice_differentiable=False,
        )


class TestWhileTraining(AttentionContract):
    """Half precision that needs a gradient takes other products, so it keeps the contract too."""

    @pytest.fixture
    def claim(self):
        def attention(query, key, value, **settings):
            query = query if query.requires_grad else query.clone().requires_grad_()
            return scaled_dot_attention(query, key, value, **settings)

        return Claim(attention=attention, oracle=oracle.scaled_dot, twice_differentiable=False)


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 7), (1, 1, 1, 7), (4, 1, 1), (2, 1, 5, 7)])
def test_bias_broadcasts(shape):
    query, key, value, bias = draw(2, 4, 5, 3), draw(2, 4, 7, 3), draw(2, 4, 7, 6), draw(*shape)
    whole = bias.expand(2, 4, 5, 7)
    for mask in (None, Mask.causal()):
        want = scaled_dot_attention(query, key, value, bias=whole, mask=mask)
        assert torch.equal(scaled_dot_attention(query, key, value, bias=bias, mask=mask), want)


@pytest.mark.parametrize("dtype, training", [(torch.float32, False), (torch.bfloat16, True)])
def test_dropout_drops_weights_and_keeps_the_mean(dtype, training):
    torch.manual_seed(0)
    query = torch.zeros(2, 4, 5, 3, dtype=dtype, requires_grad=training)
    key = torch.zeros(2, 4, 1000, 3, dtype=dtype)
    value = torch.ones(2, 4, 1000, 3, dtype=dtype)
    dropped = scaled_dot_attention(query, key, value, dropout=0.5).detach().float()
    assert dropped.std() > 0.01
    # The mean of 1000 weights kept with chance 1/2 and doubled: its deviation is 1/sqrt(1000).
    assert (dropped - 1).abs().max() < 6 / 1000**0.5
    assert scaled_dot_attention(query, key, value).std() < 1e-5


def test_autocast_takes_mixed_precision():
    query, key, value = draw(2, 4, 5, 3), draw(2, 4, 7, 3).bfloat16(), draw(2, 4, 7, 3)
    mask = Mask.lengths(torch.tensor([0, 6]))
    with torch.autocast("cpu", torch.bfloat16):
        output = scaled_dot_attention(query, key, value, mask=mask, bias=draw(5, 7))
    assert output.dtype == torch.bfloat16
    assert output[0].abs().max() == 0


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_rejects_a_dropout_that_is_no_share(dropout):
    x = draw(2, 4, 5, 3)
    message = re.escape(f"dropout must be at least 0 and below 1, got {dropout}")
    with pytest.raises(ConfigError, match=message):
        scaled_dot_attention(x, x, x, dropout=dropout)


@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 7), (1, 2, 4, 5, 7)])
def test_rejects_a_bias_that_does_not_fit(shape):
    message = re.escape(
        f"bias must broadcast to (batch, heads, queries, keys) = (2, 4, 5, 7), got {shape}"
    )
    with pytest.raises(ShapeError, match=message):
        scaled_dot_weights(draw(2, 4, 5, 3), draw(2, 2, 7, 3), bias=torch.zeros(shape))


def test_rejects_a_boolean_bias():
    bias = torch.ones(5, 5, dtype=torch.bool)
    x = draw(2, 4, 5, 3)
    message = re.escape("bias must be floating-point (a boolean is a Mask), got torch.bool")
    with pytest.raises(ConfigError, match=message):
        scaled_dot_attention(x, x, x, bias=bias)
