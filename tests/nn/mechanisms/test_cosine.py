"""Cosine attention as a mechanism: its op, with its scales."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.cosine import Cosine
from heedful.testing.tolerance import assert_close, roundings


def test_the_scale_starts_where_it_is_told_and_never_exceeds_the_largest():
    limit = 4 * roundings(torch.float32)
    mechanism = Cosine(heads=4, dim=3, start=2.0, largest=50.0)
    assert_close(mechanism.scale(), torch.full((4,), 2.0), roundings=limit, largest=2.0)
    with torch.no_grad():
        mechanism.log_scale.copy_(torch.tensor([-30.0, 0.0, 3.0, 90.0]))
    scale = mechanism.scale()
    want = torch.tensor([-30.0, 0.0, 3.0], dtype=torch.float64).exp()
    assert_close(scale[:3], want, roundings=limit, largest=20.0)
    assert_close(scale[3], torch.tensor(50.0), roundings=limit, largest=50.0)
    scale.sum().backward()
    assert (mechanism.log_scale.grad[:3] > 0).all()
    assert mechanism.log_scale.grad[3] == 0


def test_a_scale_that_starts_at_the_largest_can_leave_it():
    mechanism = Cosine(heads=4, dim=3, start=50.0, largest=50.0)
    mechanism.scale().sum().backward()
    assert (mechanism.log_scale.grad > 49).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"start": 0.0}, "start must be above 0 and at most largest, got start=0.0, largest=100.0"),
        (
            {"start": 9.0, "largest": 8.0},
            "start must be above 0 and at most largest, got start=9.0, largest=8.0",
        ),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Cosine(**{"heads": 4, "dim": 3, **settings})
