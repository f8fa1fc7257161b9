"""Convolutional block attention keeps the contract: channels first, then pixels."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.vision import Cbam, CbamWeights
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw


class TestCbam(VisionContract):
    @pytest.fixture(params=[{}, {"kernel": 3, "bias": True}], ids=["paper", "kernel_3_bias"])
    def claim(self, request):
        return VisionClaim(
            make=partial(Cbam, channels=8, reduction=4, **request.param),
            channels=8,
            oracle=vision.cbam,
        )


def test_defaults_are_the_paper():
    shapes = {name: tuple(p.shape) for name, p in Cbam(channels=64).named_parameters()}
    assert shapes == {
        "reduce.weight": (4, 64),
        "expand.weight": (64, 4),
        "convolve.weight": (1, 2, 7, 7),
        "convolve.bias": (1,),
    }


def test_output_is_the_image_times_both_weights_and_nothing_is_added():
    module, x = Cbam(channels=8, reduction=2).double(), draw(2, 8, 5, 3)
    weights = module.weights(x)
    assert isinstance(weights, CbamWeights)
    want = x * weights.channels[:, :, None, None] * weights.pixels[:, None]
    assert torch.equal(module(x), want)
    assert (module(x).abs() < x.abs()).all()


def test_without_channel_weights_the_pixels_would_be_weighed_differently():
    module, x = Cbam(channels=8, reduction=2).double(), draw(2, 8, 5, 3)
    pooled = torch.stack([x.mean(1), x.amax(1)], 1)
    assert not torch.allclose(module.weights(x).pixels, module.convolve(pooled)[:, 0].sigmoid())


def test_same_as_timm():
    layers = pytest.importorskip(
        "timm.layers.cbam",
        reason="timm is not installed, or lacks torchvision",
        exc_type=ImportError,
    )
    other = layers.CbamModule(32, rd_ratio=1 / 4).double().eval()
    module, norm = Cbam(channels=32, reduction=4).double(), other.spatial.conv.bn
    with torch.no_grad():
        for seed, x in enumerate((norm.weight, norm.bias, norm.running_mean)):
            x.copy_(draw(1, seed=seed))
        norm.running_var.fill_(0.7)
        module.reduce.weight.copy_(other.channel.fc1.weight[:, :, 0, 0])
        module.expand.weight.copy_(other.channel.fc2.weight[:, :, 0, 0])
        # its batch normalisation is a factor and a bias when it does not train
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        module.convolve.weight.copy_(other.spatial.conv.conv.weight * factor)
        module.convolve.bias.copy_(norm.bias - norm.running_mean * factor)
        x = draw(2, 32, 9, 8)
        torch.testing.assert_close(module(x), other(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": -1}, "channels must be at least 1, got -1"),
        (
            {"channels": 24},
            "reduction must be at least 1 and divide channels, got reduction=16, channels=24",
        ),
        ({"channels": 32, "kernel": 6}, "kernel must be odd and at least 1, got 6"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Cbam(**settings)
