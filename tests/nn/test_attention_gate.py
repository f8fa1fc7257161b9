"""An attention gate against loops, with a whole grid of cells as coarse as it likes."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, ShapeError
from heedful.nn.attention_gate import AttentionGate


def made(channels=6, gate_channels=5, hidden=4):
    torch.manual_seed(0)
    gate = AttentionGate(channels=channels, gate_channels=gate_channels, hidden=hidden).double()
    nn.init.normal_(gate.score.weight)
    nn.init.constant_(gate.score.bias, 0.3)
    return gate


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_loops(gate, x, coarse):
    """Weights on a grid as fine as the image, where nothing is averaged or interpolated."""
    own, other, bias, v, c = (
        each.detach().numpy()
        for each in (
            gate.own.weight[:, :, 0, 0],
            gate.coarse.weight[:, :, 0, 0],
            gate.coarse.bias,
            gate.score.weight[0, :, 0, 0],
            gate.score.bias,
        )
    )
    weights = np.zeros((len(x), 1, *x.shape[2:]))
    for b, _, i, j in np.ndindex(weights.shape):
        inner = own @ x[b, :, i, j].numpy() + other @ coarse[b, :, i, j].numpy() + bias
        weights[b, 0, i, j] = 1 / (1 + np.exp(-(v @ np.maximum(inner, 0) + c[0])))
    return torch.from_numpy(weights)


def test_weights_are_those_of_the_paper():
    gate, x, coarse = made(), draw(2, 6, 3, 4), draw(2, 5, 3, 4, seed=1)
    weights = gate.weights(x, coarse)
    torch.testing.assert_close(weights, by_loops(gate, x, coarse))
    assert torch.equal(gate(x, coarse), x * weights)
    assert 0 < weights.min() < weights.max() < 1


def test_a_coarser_grid_is_that_of_means_interpolated():
    gate, x, coarse = made(), draw(2, 6, 6, 8), draw(2, 5, 3, 4, seed=1)
    means = x.unflatten(2, (3, 2)).unflatten(4, (4, 2)).mean((3, 5))
    want = nn.functional.interpolate(
        by_loops(gate, means, coarse), size=(6, 8), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(gate.weights(x, coarse), want)


def test_it_begins_half_open_and_learns():
    gate = AttentionGate(channels=6, gate_channels=5)
    x, coarse = draw(2, 6, 6, 8).float(), draw(2, 5, 3, 4).float()
    assert gate.own.out_channels == 3
    assert torch.equal(gate(x, coarse), x / 2)
    gate(x, coarse).sum().backward()
    assert gate.score.weight.grad.abs().max() > 0


def test_it_says_why_no_adapter_knows_it():
    sites, unknown = find_sites(nn.Sequential(made()))
    assert sites == []
    assert "without queries and keys" in unknown["0"]


@pytest.mark.parametrize(
    "x, coarse, message",
    [
        ((2, 7, 4, 4), (2, 5, 2, 2), "x must be (batch, channels=6, height, width), got a tensor"),
        ((2, 6, 4), (2, 5, 2, 2), "got a tensor of shape (2, 6, 4)"),
        ((2, 6, 4, 4), (2, 6, 2, 2), "gate must be (batch, channels=5, height, width), got a"),
        ((2, 6, 4, 4), (2, 5, 2, 6), "gate must not be larger than x, got (2, 6) and (4, 4)"),
    ],
)
@pytest.mark.parametrize("call", ["forward", "weights"])
def test_refuses_images_that_do_not_fit(x, coarse, message, call):
    with pytest.raises(ShapeError, match=re.escape(message)):
        getattr(made(), call)(draw(*x), draw(*coarse))


@pytest.mark.parametrize(
    "settings",
    [{"channels": 0}, {"gate_channels": 0}, {"hidden": 0}],
    ids=lambda each: next(iter(each)),
)
def test_refuses_sizes_below_one(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        AttentionGate(**{"channels": 4, "gate_channels": 4, **settings})
