"""Layers that multiply in few bits, and back."""

import pytest
import torch
from torch import nn

from heedful.allocation.precision import (
    lower,
    lower_wide,
    precision_of,
    why_not_lowered,
    wide_layers,
)
from heedful.nn import Attention
from heedful.nn.low_precision import LowPrecisionLinear


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_goes_there_and_back_with_the_same_parameters(precision):
    site, x = Attention(width=16, heads=2).eval(), torch.randn(2, 5, 16)
    named = dict(site.named_parameters())
    with torch.no_grad():
        before = site(x)
        state = torch.get_rng_state()
        lower(site, precision)
        assert precision_of(site) == precision
        assert type(site.out) is LowPrecisionLinear
        assert not site.out.training
        assert not torch.equal(site(x), before)
        assert all(parameter is named[name] for name, parameter in site.named_parameters())
        lower(site, "int8" if precision == "bf16" else "bf16")
        assert precision_of(site) != precision
        lower(site, None)
        assert precision_of(site) is None
        assert type(site.out) is nn.Linear
        assert torch.equal(site(x), before)
        assert torch.equal(torch.get_rng_state(), state)


def test_what_is_so_already_stays_the_module_that_it_is():
    site = Attention(width=16, heads=2)
    lower(site, None)
    assert type(site.query) is nn.Linear
    lower(site, "int8")
    query = site.query
    lower(site, "int8")
    assert site.query is query


def test_only_linear_layers_can_be_lowered():
    assert why_not_lowered(Attention(width=16, heads=2)) is None
    message = "a Sequential has no nn.Linear to multiply in few bits"
    assert why_not_lowered(nn.Sequential(nn.Conv1d(3, 3, 1))) == message


def test_only_layers_that_are_wide_on_both_sides_are_lowered():
    shapes = ((40, 40), (40, 39), (39, 40))
    model = nn.Sequential(*(nn.Linear(*shape) for shape in shapes), nn.ReLU()).eval()
    named = dict(model.named_parameters())
    assert wide_layers(model, narrowest=40) == 1
    lower_wide(model, "int8", narrowest=40)
    assert [type(layer) for layer in model[:3]] == [LowPrecisionLinear, nn.Linear, nn.Linear]
    assert model[0].precision == "int8"
    assert wide_layers(model, narrowest=40) == 0
    assert all(parameter is named[name] for name, parameter in model.named_parameters())
