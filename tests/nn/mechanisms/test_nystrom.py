"""Nyström attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.nystrom import Nystrom
from heedful.ops.nystrom import nystrom_attention, nystrom_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    torch.manual_seed(5)
    return Nystrom(**{"heads": 4, "dim": 3, "landmarks": 3} | settings).double()


def test_is_the_op_with_its_parameters():
    mechanism = made()
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {
        name: getattr(mechanism, name)
        for name in ("landmarks", "iterations", "convolution", "aligned")
    }
    want = nystrom_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = nystrom_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


def test_works_inside_attention():
    attention = Attention(
        width=12, heads=4, kv_heads=2, mechanism=made(convolution=5, aligned=True)
    ).double()
    x, mask = draw(2, 9, 12), Mask.lengths(torch.tensor([9, 7]))
    output = attention(x, mask=mask)
    assert output.shape == x.shape
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)
    output.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_convolution_starts_as_nothing():
    query, key, value = draw(2, 4, 9, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    plain = made(aligned=True)(query, key, value)
    assert torch.equal(made(convolution=3, aligned=True)(query, key, value), plain)


def test_settings_reach_the_op():
    query, key, value = draw(2, 4, 9, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    given = {"landmarks": 4, "iterations": 2, "aligned": True}
    want = nystrom_attention(query, key, value, **given, convolution=draw(4, 3))
    mechanism = made(**given, convolution=3)
    with torch.no_grad():
        mechanism.convolution.copy_(draw(4, 3))
    assert torch.equal(mechanism(query, key, value), want)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"landmarks": 0}, "landmarks must be at least 1, got 0"),
        ({"iterations": -2}, "iterations must not be negative, got -2"),
        ({"convolution": 4, "aligned": True}, "convolution must be odd and at least 1, got 4"),
        ({"convolution": -1, "aligned": True}, "convolution must be odd and at least 1, got -1"),
        ({"convolution": 3}, "convolution needs aligned=True, got convolution=3, aligned=False"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
