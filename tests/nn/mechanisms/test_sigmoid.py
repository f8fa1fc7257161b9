"""Sigmoid attention as a mechanism: its op, with its settings."""

import pytest

from heedful.errors import ConfigError
from heedful.nn.mechanisms.sigmoid import Sigmoid


@pytest.mark.parametrize(
    "settings, message",
    [({"learned": True}, "bias must be a number to be learned, got None")],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Sigmoid(heads=4, dim=3, **settings)
