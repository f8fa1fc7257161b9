"""The window as a mechanism: its op, with its settings."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.cache import KeyValueCache
from heedful.nn.mechanisms.window import Window
from heedful.ops.window import window_attention, window_weights
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_op_with_its_settings():
    settings = {"window": 3, "ahead": 1, "sinks": 2}
    mechanism = Window(heads=4, dim=3, **settings)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    want = window_attention(query, key, value, mask=mask, **settings)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = window_weights(query, key, mask=mask, **settings)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


def test_decodes_inside_attention():
    mechanism = Window(heads=4, dim=3, window=3, sinks=1)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x, cache = draw(2, 9, 12), KeyValueCache()
    whole = attention(x, mask=Mask.causal())
    with torch.no_grad():
        steps = [attention(x[:, i : i + 1], mask=Mask.causal(), cache=cache) for i in range(9)]
    limit = 2 * roundings(x.dtype, 12, 3, 4, 4, 12)
    assert_close(torch.cat(steps, 1), whole, roundings=limit, largest=whole.abs().max().item())
    whole.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in attention.value.parameters())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"ahead": -2}, "ahead must not be negative, got -2"),
        ({"sinks": -1}, "sinks must not be negative, got -1"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Window(heads=4, dim=3, **settings)
