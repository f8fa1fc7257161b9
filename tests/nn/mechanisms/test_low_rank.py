"""Low-rank attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.mechanisms.low_rank import LowRank
from heedful.testing.tolerance import assert_close, roundings


def made(**settings):
    torch.manual_seed(5)
    return LowRank(**{"heads": 4, "dim": 3, "rank": 2} | settings).double()


def test_starts_as_the_same_orthonormal_axes():
    mechanism = made()
    axes = mechanism.query_projection
    assert axes.shape == (4, 3, 2)
    assert torch.equal(axes, mechanism.key_projection)
    axes = axes.float()
    limit = roundings(axes.dtype, 3, 3)
    assert_close(axes.mT @ axes, torch.eye(2).expand(4, 2, 2), roundings=limit, largest=1.0)


@pytest.mark.parametrize("dim, rank", [(1, 1), (2, 1), (9, 4)])
def test_half_of_the_dimensions_are_left(dim, rank):
    assert LowRank(heads=4, dim=dim).key_projection.shape == (4, dim, rank)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rank": 0}, "rank must be from 1 to 3, got 0"),
        ({"rank": 4}, "rank must be from 1 to 3, got 4"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
