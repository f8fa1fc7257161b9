"""Nyström attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.nystrom import Nystrom
from heedful.ops.nystrom import nystrom_attention


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    torch.manual_seed(5)
    return Nystrom(**{"heads": 4, "dim": 3, "landmarks": 3} | settings).double()


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
