"""Efficient channel attention keeps the contract; its kernel grows as the paper says."""

import math
import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.vision import Eca
from heedful.nn.vision.eca import kernel_for
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw


class TestEca(VisionContract):
    @pytest.fixture(params=[None, 5], ids=["by_rule", "kernel_5"])
    def claim(self, request):
        return VisionClaim(
            make=partial(Eca, channels=8, kernel=request.param),
            channels=8,
            oracle=vision.eca,
            order="pixels",
        )


# (log2 C + 1) / 2: 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6; between two odd numbers the larger
@pytest.mark.parametrize(
    "channels, kernel",
    [(2, 1), (4, 1), (8, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_kernel_of_the_paper(channels, kernel):
    assert kernel_for(channels) == kernel
    assert Eca(channels=channels).convolve.weight.shape == (1, 1, kernel)


@pytest.mark.parametrize("gamma, beta", [(2.0, 1.0), (1.0, 1.0), (1.5, -3.0)])
@pytest.mark.parametrize("channels", [1, 3, 7, 24, 100, 111, 700, 5000])
def test_kernel_is_the_nearest_odd_number(channels, gamma, beta):
    exact = abs(math.log2(channels) + beta) / gamma
    kernel = kernel_for(channels, gamma=gamma, beta=beta)
    assert kernel % 2 == 1
    assert abs(kernel - exact) <= 1


def test_a_channel_sees_its_neighbours_only():
    module, x = Eca(channels=16, kernel=5).double(), draw(2, 16, 5, 3)
    changed = x.clone()
    changed[:, 6] += 1
    moved = (module.weights(x) != module.weights(changed)).any(0)
    assert moved.nonzero()[:, 0].tolist() == [4, 5, 6, 7, 8]


def test_order_of_channels_matters():
    module, x = Eca(channels=8).double(), draw(2, 8, 5, 3)
    order = torch.tensor([3, 0, 7, 1, 5, 2, 6, 4])
    assert not torch.allclose(module(x[:, order]), module(x)[:, order])


def test_same_as_timm():
    layers = pytest.importorskip(
        "timm.layers", reason="timm is not installed, or lacks torchvision", exc_type=ImportError
    )
    for channels in (8, 32, 128, 2048):
        other, module = layers.EcaModule(channels).double(), Eca(channels=channels).double()
        module.load_state_dict({"convolve.weight": other.conv.weight.detach()})
        x = draw(2, channels, 5, 3)
        torch.testing.assert_close(module(x), other(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"channels": 8, "kernel": 4}, "kernel must be odd and at least 1, got 4"),
        ({"channels": 8, "kernel": -1}, "kernel must be odd and at least 1, got -1"),
        ({"channels": 8, "gamma": 0.0}, "gamma must be above 0, got 0.0"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Eca(**settings)
