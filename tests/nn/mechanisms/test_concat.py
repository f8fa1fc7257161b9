"""Concat attention as a mechanism: its op, with its matrices and vectors."""

import re

import pytest

from heedful.errors import ConfigError
from heedful.nn.mechanisms.concat import Concat


def test_is_as_wide_inside_as_outside_unless_told():
    assert Concat(heads=4, dim=3).query_weight.shape == (4, 3, 3)
    assert Concat(heads=4, dim=3, hidden=5).query_weight.shape == (4, 5, 3)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Concat(**{"heads": 4, "dim": 3, **settings})
