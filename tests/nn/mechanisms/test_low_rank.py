"""Low-rank attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.low_rank import LowRank
from heedful.ops.low_rank import low_rank_attention, low_rank_weights
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    torch.manual_seed(5)
    return LowRank(**{"heads": 4, "dim": 3, "rank": 2} | settings).double()


def test_is_the_op_with_its_parameters():
    mechanism = made()
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {name: getattr(mechanism, name) for name in ("query_projection", "key_projection")}
    want = low_rank_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = low_rank_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


def test_works_inside_attention():
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=made()).double()
    x, mask = draw(2, 9, 12), Mask.lengths(torch.tensor([9, 7]))
    output = attention(x, mask=mask)
    assert output.shape == x.shape
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)
    output.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


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
