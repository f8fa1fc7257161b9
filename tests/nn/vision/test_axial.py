"""Axial attention keeps the contract: columns first, then rows, never all pairs."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn import RelativePositions, RotaryPositions
from heedful.nn.vision import Axial, AxialWeights
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw, make_mask


class TestAxial(VisionContract):
    @pytest.fixture(params=[1, 2], ids=["one_head", "two_heads"])
    def claim(self, request):
        return VisionClaim(
            make=partial(Axial, channels=4, heads=request.param),
            channels=4,
            oracle=vision.axial,
            settings={"heads": request.param},
            order="lines",
        )


def test_weights_sum_to_one_of_each_line():
    x, mask = draw(2, 8, 5, 3), make_mask("scattered", "tall")
    weights = Axial(channels=8, heads=2).double().weights(x, mask=mask)
    assert isinstance(weights, AxialWeights)
    assert weights.height.shape == (2, 3, 2, 5, 5)
    assert weights.width.shape == (2, 5, 2, 3, 3)
    for shares, exists in ((weights.height, mask.mT), (weights.width, mask)):
        want = exists[:, :, None].expand(shares.shape[:-1]).double()
        torch.testing.assert_close(shares.sum(-1), want)
        assert (shares.mT[~exists[:, :, None].expand(shares.shape[:-1])] == 0).all()


def test_every_pixel_reaches_every_other():
    module, x = Axial(channels=8, heads=2).double(), draw(1, 8, 5, 3).requires_grad_()
    module(x)[0, :, 4, 0].sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()


def test_height_comes_first():
    module, x = Axial(channels=8, heads=2).double(), draw(1, 8, 5, 3)
    columns = x[0].permute(2, 1, 0)
    middle = module.along_height(columns).permute(1, 0, 2)
    want = module.along_width(middle).permute(2, 0, 1)[None]
    torch.testing.assert_close(module(x), want)
    rows = module.along_width(x[0].permute(1, 2, 0)).permute(1, 0, 2)
    other = module.along_height(rows).permute(2, 1, 0)[None]
    assert not torch.allclose(module(x), other)


@pytest.mark.parametrize("axis, name", [(2, "height_positions"), (3, "width_positions")])
@pytest.mark.parametrize("positions", [RotaryPositions(4), RelativePositions(2)])
def test_with_positions_along_an_axis_its_order_matters(positions, axis, name):
    module, x = Axial(channels=8, heads=2, **{name: positions}).double(), draw(2, 8, 5, 3)
    for seed, parameter in enumerate(module.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed))
    assert not torch.allclose(module(x.roll(1, axis)), module(x).roll(1, axis))
    other = {2: 3, 3: 2}[axis]
    torch.testing.assert_close(module(x.roll(1, other)), module(x).roll(1, other))


def test_never_makes_all_pairs():
    with torch.no_grad():
        module, x = Axial(channels=2, heads=1), draw(1, 2, 300, 400).float()
        assert module(x).shape == x.shape  # all pairs would take 58 GB


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        (
            {"channels": 12},
            "heads must be at least 1 and divide channels, got heads=8, channels=12",
        ),
        (
            {"channels": 8, "heads": 2, "width_positions": RotaryPositions(6)},
            "positions must have dim 4 like a head, got 6",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Axial(**settings)
