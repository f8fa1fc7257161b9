"""Adaptive temperature keeps the contract, sharpens what is spread out and flattens nothing."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.ops.temperature import temperature_attention, temperature_weights
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import normalisers
from heedful.testing.tolerance import assert_close, roundings


class TestTemperature(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["temperature"]


class TestWithOtherCoefficients(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=temperature_attention,
            weights=temperature_weights,
            oracle=normalisers.temperature,
            settings={"coefficients": (0.5, 0.25, 1.5), "least_entropy": 0.1, "scale": 0.9},
            steps=(7, 7),
        )


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def entropy(weights):
    return torch.special.entr(weights).sum(-1)


def test_nothing_becomes_flatter():
    query, key = draw(2, 4, 50, 3), 3 * draw(2, 2, 40, 3, seed=2)
    plain = scaled_dot_weights(query, key, mask=Mask.causal())
    sharp = temperature_weights(query, key, mask=Mask.causal())
    # of one visible key the entropy is 0 on both sides, up to the last bit
    limit = torch.finfo(torch.float64).eps
    assert (entropy(sharp) <= entropy(plain) + 100 * limit).all()
    assert (entropy(sharp) < entropy(plain) - 0.1).any()


def test_below_the_least_entropy_nothing_changes():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    want = scaled_dot_weights(query, key)
    assert torch.equal(temperature_weights(query, key, least_entropy=2.0), want)  # log(7) < 2
    assert not torch.allclose(temperature_weights(query, key), want)


@pytest.mark.parametrize("coefficients", [(0.5,), (-3.0, 0.0), (0.0, 1.0)])
def test_the_factor_is_at_least_one(coefficients):
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    want = scaled_dot_weights(query, key)
    assert torch.equal(temperature_weights(query, key, coefficients=coefficients), want)


def test_a_constant_is_a_scale():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    actual = temperature_weights(query, key, coefficients=(2.0,), least_entropy=-1.0, scale=0.5)
    want = scaled_dot_weights(query, key, scale=1.0)
    assert_close(actual, want, roundings=2 * roundings(torch.float64, 3, 7), largest=1.0)


def test_the_default_fit_does_nothing_beyond_what_it_was_fitted_to():
    query, key = torch.zeros(1, 1, 1, 1, dtype=torch.float64), draw(1, 1, 400, 1)
    key[..., 0, 0] = 2.0
    near_uniform = 0.05 * torch.ones_like(query)  # an entropy of nearly log(400) = 5.99
    want = scaled_dot_weights(near_uniform, key)
    assert torch.equal(temperature_weights(near_uniform, key), want)
    shorter = key[:, :, :300]
    sharp = temperature_weights(near_uniform, shorter)
    assert entropy(sharp) < entropy(scaled_dot_weights(near_uniform, shorter))


def test_rejects_no_coefficients():
    x = draw(2, 4, 5, 3)
    with pytest.raises(ConfigError, match="coefficients must have at least one entry, got none"):
        temperature_weights(x, x, coefficients=())
