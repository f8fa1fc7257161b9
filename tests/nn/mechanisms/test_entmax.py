"""Entmax as a mechanism: its op, with its settings."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.entmax import Entmax
from heedful.ops.entmax import entmax_attention, entmax_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.25}, {"alpha": 1.25, "learned": True}])
def test_is_the_op_with_its_settings(settings):
    mechanism = Entmax(heads=4, dim=3, **settings).double()
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {"alpha": mechanism.alpha()}
    want = entmax_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = entmax_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.25}, {"alpha": 1.25, "learned": True}])
def test_learns_inside_attention(settings):
    mechanism = Entmax(heads=4, dim=3, **settings)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x = draw(2, 9, 12)
    attention(x, mask=Mask.causal()).square().sum().backward()
    assert len(list(mechanism.parameters())) == ("learned" in settings)
    for parameter in attention.parameters():
        assert parameter.grad.isfinite().all()
    for parameter in [*attention.query.parameters(), *mechanism.parameters()]:
        assert (parameter.grad != 0).all()
    assert attention.weights(x).shape == (2, 4, 9, 9)


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
