"""The Conformer block is its definition, and its convolution leaks nothing."""

import re

import pytest
import torch

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import Attention, RelativePositions, RotaryPositions
from heedful.nn.fusion import ConformerBlock
from heedful.testing.oracle.fusion import conformer
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 6


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block(*, positions=None, **settings):
    attention = Attention(width=WIDTH, heads=3, positions=positions)
    module = ConformerBlock(attention=attention, width=WIDTH, feedforward=5, **settings)
    for seed, parameter in enumerate(module.double().parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.5)
    return module


@pytest.mark.parametrize("causal, kernel", [(False, 3), (True, 3), (True, 4), (False, 17)])
@pytest.mark.parametrize("lengths", [(7, 7), (4, 6), (0, 1)])
def test_matches_the_oracle(causal, kernel, lengths):
    module, x = block(causal=causal, kernel=kernel), draw(2, 7, WIDTH)
    mask = Mask.lengths(torch.tensor(lengths))

    def exists(b, t):
        return t < lengths[b]

    def sees(b, h, i, j):
        return exists(b, j) and (j <= i or not causal)

    mask = Mask.causal() & mask if causal else mask
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    want = conformer(x.numpy(), sees, exists, parameters=parameters, heads=3, causal=causal)
    limit = roundings(torch.float64, 6, 5, 5, 6, 7, 6, 6, 12, 17, 6, 6, 5)
    for one, other in zip((module(x, mask=mask), module.weights(x, mask=mask)), want, strict=True):
        other = torch.from_numpy(other)
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("positions", [RotaryPositions(2), RelativePositions(3)])
def test_positions_are_those_of_the_attention(positions):
    module, x = block(positions=positions, kernel=1), draw(2, 7, WIDTH)
    order = torch.tensor([0, 2, 1, 3, 4, 6, 5])
    assert (module(x[:, order]) - module(x)[:, order]).abs().max() > 1e-3
    plain = block(kernel=1)
    assert_close(plain(x[:, order]), plain(x)[:, order], roundings=300, largest=5.0)


def test_dropout_acts_in_training_only():
    module, x = block(dropout=0.5, kernel=3), draw(2, 7, WIDTH)
    assert not torch.equal(module(x), module(x))
    assert torch.equal(module.eval()(x), block(kernel=3)(x))


def test_defaults():
    module = ConformerBlock(attention=Attention(width=WIDTH, heads=3), width=WIDTH)
    assert module.first_half[1].out_features == 4 * WIDTH
    assert module.convolution.depthwise.weight.shape == (WIDTH, 1, 31)


def test_rejects_masks_that_the_convolution_would_break():
    x = draw(2, 7, WIDTH)
    message = (
        "mask must not be causal because the convolution looks ahead, got Mask.causal(). "
        "Set causal=True."
    )
    for call in (block(kernel=3), block(kernel=3).weights):
        with pytest.raises(UnsupportedError, match=re.escape(message)):
            call(x, mask=Mask.causal())
    by_head = Mask.dense(torch.tensor([1, 0, 1]).bool()[None, :, None, None])
    with pytest.raises(UnsupportedError, match="mask must be the same for all heads because the "):
        block(kernel=3)(x, mask=by_head)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 8}, "attention must have width 8, got 6"),
        ({"feedforward": 0}, "feedforward must be at least 1, got 0"),
        ({"kernel": 0}, "kernel must be at least 1, got 0"),
        ({"kernel": 4}, "kernel must be odd unless causal, got 4"),
        ({"dropout": 1.5}, "dropout must be at least 0 and below 1, got 1.5"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        ConformerBlock(**{"attention": Attention(width=6, heads=3), "width": 6} | settings)
