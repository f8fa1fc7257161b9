"""Non-local blocks keep the contract with every affinity, thinned out or not."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError
from heedful.nn.vision import NonLocal
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract, draw, make_mask, run

AFFINITIES = ["embedded_gaussian", "gaussian", "dot"]


class TestNonLocal(VisionContract):
    @pytest.fixture(
        params=[*((affinity, 1) for affinity in AFFINITIES), ("embedded_gaussian", 2), ("dot", 2)],
        ids=lambda settings: f"{settings[0]}-{settings[1]}",
    )
    def claim(self, request):
        settings = {"affinity": request.param[0], "window": request.param[1]}
        return VisionClaim(
            make=partial(NonLocal, channels=4, **settings),
            channels=4,
            oracle=vision.non_local,
            settings=settings,
            order="pixels" if settings["window"] == 1 else "nothing",
            identity=True,
        )


@pytest.mark.parametrize("affinity", AFFINITIES)
@pytest.mark.parametrize("window, keys", [(1, 15), (2, 6), (3, 2), (9, 1)])
def test_weights_of_a_pixel(affinity, window, keys):
    module = NonLocal(channels=4, affinity=affinity, window=window).double()
    x, mask = draw(2, 4, 5, 3), make_mask("scattered", "tall")
    weights = module.weights(x, mask=mask)
    assert weights.shape == (2, 15, keys)
    assert (weights[~mask.flatten(1)] == 0).all()
    if affinity != "dot":
        torch.testing.assert_close(weights.sum(-1), mask.flatten(1).double())
    if window == 1:
        assert (weights.mT[~mask.flatten(1)] == 0).all()


@pytest.mark.parametrize("affinity", AFFINITIES)
def test_autocast_keeps_the_dtype(affinity):
    module, x = NonLocal(channels=4, affinity=affinity), draw(2, 4, 5, 3).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(x), x)  # out is 0
        assert module.weights(x).dtype == torch.float32


def test_dot_never_makes_all_pairs():
    module, x = NonLocal(channels=4, affinity="dot"), draw(1, 4, 500, 400).float()
    with torch.no_grad():
        assert module(x).shape == x.shape  # all pairs would take 160 GB


def test_permuted_channels_with_permuted_weights_give_permuted_channels():
    claim = VisionClaim(make=partial(NonLocal, channels=4), channels=4, oracle=vision.non_local)
    module, x, order = claim.module(), draw(2, 4, 5, 3), torch.tensor([2, 0, 3, 1])
    want = run(module, x, None)
    with torch.no_grad():
        for linear in (module.query, module.key, module.value):
            linear.weight.copy_(linear.weight[:, order])
        module.out.weight.copy_(module.out.weight[order])
        module.out.bias.copy_(module.out.bias[order])
    output, weights = run(module, x[:, order], None)
    torch.testing.assert_close(output, want[0][:, order])
    torch.testing.assert_close(weights, want[1])


def test_same_as_timm():
    layers = pytest.importorskip(
        "timm.layers.non_local_attn",
        reason="timm is not installed, or lacks torchvision",
        exc_type=ImportError,
    )
    other = layers.NonLocalAttn(32, use_scale=False, rd_channels=16).double().eval()
    module, norm = NonLocal(channels=32).double(), other.norm
    with torch.no_grad():
        for seed, x in enumerate((norm.weight, norm.bias, norm.running_mean)):
            x.copy_(draw(32, seed=seed))
        names = {"query": other.t, "key": other.p, "value": other.g, "out": other.z}
        for name, theirs in names.items():
            mine = getattr(module, name)
            mine.weight.copy_(theirs.weight[:, :, 0, 0])
            mine.bias.copy_(theirs.bias)
        # its batch normalisation is a factor and a bias when it does not train
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        module.out.weight.mul_(factor[:, None])
        module.out.bias.copy_((module.out.bias - norm.running_mean) * factor + norm.bias)
        x = draw(2, 32, 5, 3)
        torch.testing.assert_close(module(x), other(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        (
            {"channels": 9},
            "reduction must be at least 1 and divide channels, got reduction=2, channels=9",
        ),
        ({"channels": 8, "window": 0}, "window must be at least 1, got 0"),
        (
            {"channels": 8, "affinity": "gauss"},
            "affinity must be one of embedded_gaussian, gaussian, dot, got 'gauss'",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        NonLocal(**settings)
