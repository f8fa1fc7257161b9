"""Linformer attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.nn.mechanisms.linformer import Linformer


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    torch.manual_seed(5)
    return Linformer(**{"heads": 4, "dim": 3, "rank": 4, "max_keys": 11} | settings).double()


def test_heads_may_share_one_pair_of_projections():
    assert made().key_projection.shape == (4, 4, 11)
    assert made(shared=True).value_projection.shape == (1, 4, 11)


def test_mixtures_start_as_large_as_keys():
    torch.manual_seed(5)
    mechanism = Linformer(heads=4, dim=3)
    mixed = mechanism.key_projection @ draw(4, 512, 3).float()
    assert 0.9 < mixed.std() < 1.1


def test_rejects_longer_texts():
    with pytest.raises(
        ShapeError, match="key_projection must have a column per key, got 11 for 12"
    ):
        made()(draw(2, 4, 5, 3), draw(2, 2, 12, 3), draw(2, 2, 12, 6))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rank": 0}, "rank and max_keys must be at least 1, got rank=0, max_keys=11"),
        ({"max_keys": -1}, "rank and max_keys must be at least 1, got rank=4, max_keys=-1"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
