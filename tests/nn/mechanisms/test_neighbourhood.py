"""The neighbourhood as a mechanism: its op, with its settings."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.neighbourhood import Neighbourhood
from heedful.ops.neighbourhood import neighbourhood_attention, neighbourhood_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "settings, shape",
    [({"shape": (3, 4), "window": (1, 3)}, (3, 4)), ({"window": (5,)}, (12,)), ({}, (12,))],
    ids=str,
)
def test_is_the_op_with_its_settings(settings, shape):
    mechanism = Neighbourhood(heads=4, dim=3, **settings)
    query, key, value = draw(2, 4, 12, 3), draw(2, 2, 12, 3, seed=2), draw(2, 2, 12, 6, seed=3)
    grid = {"shape": shape, "window": settings.get("window", (7,))}
    mask = Mask.lengths(torch.tensor([6, 12]))
    want = neighbourhood_attention(query, key, value, mask=mask, **grid)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = neighbourhood_weights(query, key, mask=mask, **grid)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


def test_works_inside_attention():
    mechanism = Neighbourhood(heads=4, dim=3, shape=(2, 5), window=(1, 3))
    attention = Attention(width=12, heads=4, mechanism=mechanism)
    x = draw(2, 10, 12).requires_grad_()
    attention(x)[:, 0].sum().backward()
    assert (x.grad.abs().amax((0, 2)) > 0).tolist() == [True] * 3 + [False] * 7
    message = "a grid of shape (2, 5) must have 10 queries and keys, got queries=9, keys=9"
    with pytest.raises(ShapeError, match=re.escape(message)):
        attention(x[:, 1:])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"window": (4,)}, "window must be odd and at least 1 on every axis, got (4,)"),
        ({"window": (3, 3)}, "window must have one size per axis of shape=(1,), got (3, 3)"),
        ({"shape": (2, 3)}, "window must have one size per axis of shape=(2, 3), got (7,)"),
        ({"shape": (0,)}, "shape must have at least one axis, each at least 1, got (0,)"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Neighbourhood(heads=4, dim=3, **settings)
