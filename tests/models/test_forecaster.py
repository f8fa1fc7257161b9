"""Forecasters: columns apart, shifts and scales come back, and attention sees what it should."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.forecaster import (
    LinearForecaster,
    PatchEncoder,
    PatchForecaster,
    build_forecaster,
)
from heedful.nn.attention import Attention

SETTINGS = {
    "patch": 6,
    "stride": 4,
    "width": 8,
    "heads": 2,
    "layers": 2,
    "feedforward": 12,
    "dropout": 0.0,
    "attention": "full",
    "window": 1,
    "normalise": True,
}


def made(name="patches", **changes):
    torch.manual_seed(3)
    settings = {**SETTINGS, **changes} if name == "patches" else {}
    return build_forecaster(name, history=21, horizon=5, **settings).eval()


def history(batch=3, columns=4):
    return torch.randn(batch, 21, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["patches", "linear"])
def test_columns_and_windows_do_not_see_each_other(name):
    model, x = made(name), history()
    with torch.no_grad():
        model_out = model(x)
        for window in range(3):
            for column in range(4):
                alone = model(x[window : window + 1, :, column : column + 1])
                torch.testing.assert_close(
                    alone[0, :, 0], model_out[window, :, column], rtol=1e-4, atol=1e-5
                )
    assert model_out.shape == (3, 5, 4)


@pytest.mark.parametrize("attention", ["full", "window", "none"])
def test_what_is_shifted_and_scaled_is_forecast_so(attention):
    model, x = made(attention=attention).double(), history().double()
    with torch.no_grad():
        shifted = model(x * 50 + 70)
        torch.testing.assert_close(shifted, model(x) * 50 + 70, rtol=1e-4, atol=1e-2)
        plain = made(normalise=False).double()
        assert not torch.allclose(plain(x * 50 + 70), plain(x) * 50 + 70, rtol=0.1)


def test_a_window_without_any_change_is_forecast():
    with torch.no_grad():
        said = made()(torch.full((1, 21, 1), 7.0))
    assert torch.allclose(said, torch.tensor(7.0), atol=0.05)


def test_patches_are_what_is_cut_and_the_last_one_is_filled():
    model, seen = made(normalise=False), []
    model.embed.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    x = torch.arange(21.0)[None, :, None]
    model(x)
    line = [*range(21), 20]
    wanted = [line[start : start + 6] for start in range(0, 17, 4)]
    assert seen[0][0].tolist() == wanted
    assert (model.patches, model.padding) == (5, 1)
    whole = PatchForecaster(
        PatchEncoder(width=8, heads=2, layers=1, feedforward=8),
        **{"history": 21, "horizon": 2, "patch": 21, "stride": 3, "width": 8},
    )
    assert (whole.patches, whole.padding) == (1, 0)


@pytest.mark.parametrize("attention, reach", [("full", 9), ("window", 2), ("none", 0)])
def test_attention_reaches_as_far_as_it_says(attention, reach):
    torch.manual_seed(1)
    encoder = PatchEncoder(
        width=8, heads=2, layers=1, feedforward=8, attention=attention, window=2
    ).eval()
    x, direction = torch.randn(1, 10, 8, requires_grad=True), torch.randn(8)
    for place in range(10):
        (gradient,) = torch.autograd.grad((encoder(x)[0, place] * direction).sum(), x)
        seen = gradient[0].abs().sum(-1).nonzero()[:, 0].tolist()
        assert seen == [other for other in range(10) if abs(other - place) <= reach]
    sites = [module for module in encoder.modules() if isinstance(module, Attention)]
    assert len(sites) == (attention != "none")


def test_the_linear_layer_adds_to_the_last_value():
    model, x = LinearForecaster(history=21, horizon=5), history()
    with torch.no_grad():
        assert torch.equal(model(x), x[:, -1:].expand(3, 5, 4))
        weight = torch.randn(model.linear.weight.shape, generator=torch.Generator().manual_seed(2))
        model.linear.weight.copy_(weight)
        said = model(x).numpy()
    for window, column in np.ndindex(3, 4):
        line = x[window, :, column].numpy()
        wanted = line[-1] + weight.numpy() @ (line - line[-1])
        np.testing.assert_allclose(said[window, :, column], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("patch", {}, "name must be one of patches, linear, got 'patch'"),
        ("patches", {"patch": 22}, "patch must be 1 to history, got patch=22, history=21"),
        ("patches", {"stride": 7}, "stride must be 1 to patch, got stride=7, patch=6"),
        ("patches", {"attention": "half"}, "attention must be one of full, window, none, got"),
        ("patches", {"heads": 3}, "heads must divide width, got heads=3, width=8"),
    ],
)
def test_what_cannot_be_built_is_refused(name, changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_forecaster(name, history=21, horizon=5, **{**SETTINGS, **changes})
