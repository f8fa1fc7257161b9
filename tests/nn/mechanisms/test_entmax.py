"""Entmax as a mechanism: its op, with its settings."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.entmax import Entmax


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"alpha": 0.5}, "alpha must be finite and at least 1, got 0.5"),
        ({"alpha": float("inf")}, "alpha must be finite and at least 1, got inf"),
        ({"alpha": 1.0, "learned": True}, "alpha must lie between 1 and 2 to be learned, got 1.0"),
        ({"alpha": 2.5, "learned": True}, "alpha must lie between 1 and 2 to be learned, got 2.5"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Entmax(heads=4, dim=3, **settings)


def test_alpha_starts_where_it_is_told_and_stays_in_range():
    mechanism = Entmax(heads=4, dim=3, alpha=1.75, learned=True)
    assert mechanism.alpha().tolist() == pytest.approx([1.75] * 4)
    mechanism.logit.data = torch.tensor([-1e4, -3.0, 3.0, 1e4])
    x = torch.ones(2, 4, 5, 3)
    assert mechanism(x, x, x).isfinite().all()
    assert mechanism.alpha()[[0, 3]].tolist() == [1, 2]
