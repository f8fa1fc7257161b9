"""Squeeze-and-excitation keeps the contract, is the library's, and says what it needs."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.vision import SqueezeExcitation
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw


class TestSqueezeExcitation(VisionContract):
    @pytest.fixture(params=[False, True], ids=["formula", "bias"])
    def claim(self, request):
        return VisionClaim(
            make=partial(SqueezeExcitation, channels=8, reduction=4, bias=request.param),
            channels=8,
            oracle=vision.squeeze_excitation,
            order="pixels",
        )


def test_defaults_are_the_paper():
    module = SqueezeExcitation(channels=64)
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert shapes == {"reduce.weight": (4, 64), "expand.weight": (64, 4)}


def test_output_is_the_image_times_the_weights():
    module, x = SqueezeExcitation(channels=8, reduction=2).double(), draw(2, 8, 5, 3)
    weights = module.weights(x)
    assert ((weights > 0) & (weights < 1)).all()
    assert torch.equal(module(x), x * weights[:, :, None, None])


def test_mean_of_large_numbers_does_not_overflow():
    module = SqueezeExcitation(channels=8, reduction=2).half()
    x = torch.full((1, 8, 30, 20), 1000.0, dtype=torch.float16)  # 600 000 in sum, above 65 504
    with torch.no_grad():
        assert torch.equal(module.weights(x), module.weights(x[:, :, :1, :1]))


def test_permuted_channels_with_permuted_weights_give_permuted_channels():
    module, x = SqueezeExcitation(channels=8, reduction=2).double(), draw(2, 8, 5, 3)
    want, order = module(x), torch.tensor([3, 0, 7, 1, 5, 2, 6, 4])
    assert not torch.allclose(module(x[:, order]), want[:, order])
    with torch.no_grad():
        module.reduce.weight.copy_(module.reduce.weight[:, order])
        module.expand.weight.copy_(module.expand.weight[order])
    torch.testing.assert_close(module(x[:, order]), want[:, order])


def test_same_as_timm():
    layers = pytest.importorskip(
        "timm.layers", reason="timm is not installed, or lacks torchvision", exc_type=ImportError
    )
    other = layers.SEModule(32, rd_ratio=1 / 4, rd_divisor=1).double()
    module = SqueezeExcitation(channels=32, reduction=4, bias=True).double()
    with torch.no_grad():
        for mine, theirs in ((module.reduce, other.fc1), (module.expand, other.fc2)):
            mine.weight.copy_(theirs.weight[:, :, 0, 0])
            mine.bias.copy_(theirs.bias)
        x = draw(2, 32, 5, 3)
        torch.testing.assert_close(module(x), other(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        (
            {"channels": 24},
            "reduction must be at least 1 and divide channels, got reduction=16, channels=24",
        ),
        (
            {"channels": 8, "reduction": 0},
            "reduction must be at least 1 and divide channels, got reduction=0, channels=8",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SqueezeExcitation(**settings)
