"""Performer attention as a mechanism: its op, with its projection."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.performer import Performer


def made(**settings):
    return Performer(**{"heads": 4, "dim": 3, "features": 5} | settings).double()


def test_the_projection_is_drawn_once_for_each_head_and_saved():
    mechanism = made()
    assert mechanism.projection.shape == (4, 5, 3)
    assert torch.equal(mechanism.projection, made().projection)
    assert list(mechanism.state_dict()) == ["projection"]
    assert list(mechanism.parameters()) == []


def test_redraw_is_the_draw_of_another_seed_in_the_same_place():
    mechanism, other = made(), made(seed=3)
    assert not torch.equal(mechanism.projection, other.projection)
    place = mechanism.projection.data_ptr()
    mechanism.redraw(3)
    assert torch.equal(mechanism.projection, other.projection)
    assert mechanism.projection.data_ptr() == place
    assert mechanism.projection.dtype == torch.float64


def test_rejects_settings_that_cannot_be():
    message = "features, dim and heads must be at least 1, got features=0, dim=3, heads=4"
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(features=0)
