"""The self-attention of SAGAN keeps the contract and fades in."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.vision import Sagan
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw, make_mask


class TestSagan(VisionContract):
    @pytest.fixture
    def claim(self):
        return VisionClaim(
            make=partial(Sagan, channels=8, reduction=4),
            channels=8,
            oracle=vision.sagan,
            order="pixels",
            identity=True,
        )


def test_defaults_are_the_authors():
    shapes = {name: tuple(p.shape) for name, p in Sagan(channels=64).named_parameters()}
    assert shapes == {
        "gamma": (1,),
        "query.weight": (8, 64),
        "key.weight": (8, 64),
        "value.weight": (32, 64),
        "out.weight": (64, 32),
    }


def test_weights_sum_to_one_of_the_pixels_that_exist():
    module, mask = Sagan(channels=8).double(), make_mask("scattered", "tall").flatten(1)
    weights = module.weights(draw(2, 8, 5, 3), mask=mask.unflatten(1, (5, 3)))
    torch.testing.assert_close(weights.sum(-1), mask.double())
    assert (weights.mT[~mask] == 0).all()


def test_gamma_is_the_only_way_in():
    module, x = Sagan(channels=8).double(), draw(2, 8, 5, 3)
    module(x).square().sum().backward()
    moved = [name for name, p in module.named_parameters() if p.grad.abs().max() > 0]
    assert moved == ["gamma"]


def test_same_with_spectral_norm():
    module, x = Sagan(channels=8).double(), draw(2, 8, 5, 3)
    torch.nn.init.ones_(module.gamma)
    with torch.no_grad():
        plain = module(x)
        for linear in (module.query, module.key, module.value, module.out):
            largest = torch.linalg.matrix_norm(linear.weight, 2)
            linear.weight.div_(largest)
            torch.nn.utils.parametrizations.spectral_norm(linear, n_power_iterations=100)
        assert not torch.allclose(module(x), plain)
        assert torch.linalg.matrix_norm(module.query.weight, 2).item() == pytest.approx(1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        (
            {"channels": 12},
            "reduction must be at least 1 and divide channels, got reduction=8, channels=12",
        ),
        (
            {"channels": 16, "value_reduction": 3},
            "value_reduction must be at least 1 and divide channels, "
            "got value_reduction=3, channels=16",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Sagan(**settings)
