"""Scalable softmax as a mechanism: its op, with its settings."""

import pytest

from heedful.errors import ConfigError
from heedful.nn.mechanisms.scalable import Scalable


@pytest.mark.parametrize(
    "settings, message",
    [({"start": float("nan")}, "start must be finite, got nan")],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Scalable(heads=4, dim=3, **settings)
