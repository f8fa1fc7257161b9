"""Hedgehog attention as a mechanism: its op, with its parameters."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.hedgehog import Hedgehog


def test_maps_start_as_the_identity_and_are_two():
    mechanism = Hedgehog(heads=4, dim=3)
    for learned in mechanism.parameters():
        assert torch.equal(learned, torch.eye(3).expand(4, 3, 3))
    assert mechanism.query_map.data_ptr() != mechanism.key_map.data_ptr()
    assert Hedgehog(heads=4, dim=3, features=5).key_map.shape == (4, 3, 5)


def test_rejects_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="features must be at least 1, got 0"):
        Hedgehog(heads=4, dim=3, features=0)
