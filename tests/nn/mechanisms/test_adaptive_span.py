"""Adaptive span as a mechanism: spans that learn, a price on them, and what they save."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.cache import KeyValueCache
from heedful.nn.mechanisms.adaptive_span import AdaptiveSpan
from heedful.ops.adaptive_span import adaptive_span_attention, adaptive_span_weights
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(*fractions):
    mechanism = AdaptiveSpan(heads=4, dim=3, max_span=10, ramp=2.5).double()
    with torch.no_grad():
        mechanism.fraction.copy_(torch.tensor(fractions))
    return mechanism


def test_is_the_op_with_its_spans():
    mechanism = build(0.125, 0.5, -0.25, 1.25)
    assert mechanism.span().tolist() == [1.25, 5, 0, 10]
    settings = {"span": mechanism.span(), "ramp": 2.5, "mask": Mask.lengths(torch.tensor([6, 9]))}
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    want = adaptive_span_attention(query, key, value, **settings)
    assert torch.equal(mechanism(query, key, value, mask=settings["mask"]), want)
    want = adaptive_span_weights(query, key, **settings)
    assert torch.equal(mechanism.weights(query, key, mask=settings["mask"]), want)


def test_keys_out_of_reach_can_be_dropped():
    mechanism = build(0.25, 0.5, 0.125, 0.5)
    assert mechanism.reach() == 8  # 5 + 2.5, rounded up: distances 0 to 7
    query, key, value = draw(2, 4, 1, 3), draw(2, 2, 30, 3, seed=2), draw(2, 2, 30, 6, seed=3)
    near = mechanism(query, key[:, :, -8:], value[:, :, -8:])
    assert_close(
        near, mechanism(query, key, value), roundings=roundings(near.dtype, 9), largest=4.0
    )
    assert (mechanism.weights(query, key)[..., -8] > 0).any()


def test_the_penalty_is_the_mean_span_and_shrinks_it():
    mechanism = build(0.5, 0.25, -0.5, 2.0)
    assert mechanism.penalty().item() == 10 * 1.75 / 4
    mechanism.penalty().backward()
    assert mechanism.fraction.grad.tolist() == [2.5, 2.5, 0, 0]
    mechanism.keep_inside()
    assert mechanism.fraction.tolist() == [0.5, 0.25, 0, 1]
    mechanism.fraction.grad = None
    mechanism.penalty().backward()
    assert mechanism.fraction.grad.tolist() == [2.5] * 4  # at the ends they learn again


def test_learns_and_decodes_inside_attention():
    mechanism = build(0.1, 0.2, 0.3, 0.05)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x, cache = draw(2, 9, 12), KeyValueCache()
    whole = attention(x)
    with torch.no_grad():
        steps = [attention(x[:, i : i + 1], cache=cache) for i in range(9)]
    limit = 2 * roundings(x.dtype, 12, 3, 9, 9, 12)
    assert_close(torch.cat(steps, 1), whole, roundings=limit, largest=whole.abs().max().item())
    whole.square().sum().backward()
    assert (mechanism.fraction.grad != 0).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_span": 0}, "max_span must be at least 1, got 0"),
        ({"ramp": 0.0}, "ramp must be above 0, got 0.0"),
        ({"ramp": float("nan")}, "ramp must be above 0, got nan"),
        ({"start": 1.5}, "start must be in [0, 1], got 1.5"),
        ({"start": -0.1}, "start must be in [0, 1], got -0.1"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        AdaptiveSpan(heads=4, dim=3, **settings)
