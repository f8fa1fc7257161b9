"""Performer attention as a mechanism: its op, with its projection."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.performer import Performer
from heedful.ops.performer import performer_attention, performer_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    return Performer(**{"heads": 4, "dim": 3, "features": 5} | settings).double()


def test_is_the_op_with_its_projection():
    mechanism = made()
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.causal() & Mask.lengths(torch.tensor([6, 9]))
    given = {"projection": mechanism.projection, "mask": mask}
    want = performer_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    assert torch.equal(
        mechanism.weights(query, key, mask=mask), performer_weights(query, key, **given)
    )


def test_works_inside_attention():
    torch.manual_seed(5)
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


def test_the_projection_is_drawn_once_for_each_head_and_saved():
    mechanism = made()
    assert mechanism.projection.shape == (4, 5, 3)
    assert torch.equal(mechanism.projection, made().projection)
    assert list(mechanism.state_dict()) == ["projection"]
    assert list(mechanism.parameters()) == []


def test_redraw_is_the_draw_of_another_seed_in_the_same_place():
    mechanism, other = made(), made(seed=3)
    assert not torch.equal(mechanism.projection, other.projection)
    place = mechanism.projection.data_ptr()
    mechanism.redraw(3)
    assert torch.equal(mechanism.projection, other.projection)
    assert mechanism.projection.data_ptr() == place
    assert mechanism.projection.dtype == torch.float64


def test_rejects_settings_that_cannot_be():
    message = "features, dim and heads must be at least 1, got features=0, dim=3, heads=4"
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(features=0)
