"""Mechanisms without parameters: what each promises beside calling its op."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.cache import KeyValueCache
from heedful.nn.mechanisms import MECHANISMS, ScaledDot, Window
from heedful.testing.tolerance import assert_close, roundings

FREE = [name for name, kind in MECHANISMS.items() if kind.__module__.endswith("parameter_free")]


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", FREE)
def test_has_nothing_to_learn_or_to_save(name):
    assert list(MECHANISMS[name](heads=4, dim=3).state_dict()) == []


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("blockwise", {"block": 0}, "block must be at least 1, got 0"),
        (
            "temperature",
            {"coefficients": ()},
            "coefficients must have at least one entry",
        ),
        ("top_k", {"kept": 0}, "kept must be at least 1, got 0"),
        ("window", {"window": 0}, "window must be at least 1, got 0"),
        ("window", {"ahead": -2}, "ahead must not be negative, got -2"),
        ("window", {"sinks": -1}, "sinks must not be negative, got -1"),
    ],
)
def test_rejects_settings_that_cannot_be(name, settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        MECHANISMS[name](heads=4, dim=3, **settings)


def test_scaled_dot_is_what_attention_does_without_a_mechanism():
    plain = Attention(width=12, heads=4, kv_heads=2).double()
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=ScaledDot(heads=4, dim=3))
    attention.double().load_state_dict(plain.state_dict())
    x = draw(2, 7, 12)
    assert torch.equal(attention(x, mask=Mask.causal()), plain(x, mask=Mask.causal()))
    assert torch.equal(attention.weights(x), plain.weights(x))


def test_window_decodes_inside_attention():
    mechanism = Window(heads=4, dim=3, window=3, sinks=1)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x, cache = draw(2, 9, 12), KeyValueCache()
    whole = attention(x, mask=Mask.causal())
    with torch.no_grad():
        steps = [attention(x[:, i : i + 1], mask=Mask.causal(), cache=cache) for i in range(9)]
    limit = 2 * roundings(x.dtype, 12, 3, 4, 4, 12)
    assert_close(torch.cat(steps, 1), whole, roundings=limit, largest=whole.abs().max().item())
