"""Reformer attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.reformer import Reformer


def made(**settings):
    torch.manual_seed(5)
    return Reformer(**{"heads": 4, "dim": 3, "buckets": 4, "chunk": 2} | settings).double()


def test_rotations_are_drawn_once_and_saved():
    mechanism = made(rounds=3, buckets=8)
    assert mechanism.rotations.shape == (3, 3, 4)
    assert torch.equal(mechanism.rotations, made(rounds=3, buckets=8).rotations)
    assert not torch.equal(mechanism.rotations, made(rounds=3, buckets=8, seed=1).rotations)
    assert list(mechanism.state_dict()) == ["rotations"]
    assert list(mechanism.parameters()) == []


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rounds": 0}, "rounds and chunk must be at least 1, got rounds=0, chunk=2"),
        ({"chunk": 0}, "rounds and chunk must be at least 1, got rounds=2, chunk=0"),
        ({"buckets": 5}, "buckets must be even and at least 2, got 5"),
        ({"buckets": 0}, "buckets must be even and at least 2, got 0"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
