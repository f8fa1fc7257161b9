"""Scalable softmax as a mechanism: its op, with its settings."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.scalable import Scalable
from heedful.ops.scalable import scalable_attention, scalable_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("settings", [{}, {"start": 1.5}])
def test_is_the_op_with_its_settings(settings):
    mechanism = Scalable(heads=4, dim=3, **settings).double()
    mechanism.strength.data += draw(4, seed=4)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {"strength": mechanism.strength}
    want = scalable_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = scalable_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


@pytest.mark.parametrize("settings", [{}, {"start": 1.5}])
def test_learns_inside_attention(settings):
    mechanism = Scalable(heads=4, dim=3, **settings)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x = draw(2, 9, 12)
    attention(x, mask=Mask.causal()).square().sum().backward()
    assert len(list(mechanism.parameters())) == 1
    for parameter in attention.parameters():
        assert parameter.grad.isfinite().all()
    for parameter in [*attention.query.parameters(), *mechanism.parameters()]:
        assert (parameter.grad != 0).all()
    assert attention.weights(x).shape == (2, 4, 9, 9)


@pytest.mark.parametrize(
    "settings, message",
    [({"start": float("nan")}, "start must be finite, got nan")],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Scalable(heads=4, dim=3, **settings)
