"""Activations that int8 layers compute along: where that is so, and where nothing changes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.allocation.curves import curve_of, fuse_curves
from heedful.allocation.precision import lower, lower_wide
from heedful.nn.low_precision import LowPrecisionLinear

WIDTH = 32


class Block(nn.Module):
    """Two layers around an activation, as models of all libraries have them."""

    def __init__(self, act):
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(WIDTH, 48), act, nn.Linear(48, WIDTH)

    def forward(self, x):
        return self.outer(self.act(self.inner(x)))


class Gated(Block):
    def __init__(self, act):
        super().__init__(act)
        self.gate = nn.Linear(WIDTH, 48)

    def forward(self, x):
        return self.outer(self.act(self.gate(x)) * self.inner(x))


class ReadTwice(Block):
    def forward(self, x):
        inner = self.inner(x)
        return self.outer(self.act(inner) + inner)


class CalledTwice(Block):
    def forward(self, x):
        return self.act(self.outer(self.act(self.inner(x))))


class Scaled(Block):
    def forward(self, x):
        return self.outer(self.act(2 * self.inner(x)))


class Asks(Block):
    def forward(self, x, y):
        return self.outer(self.act(self.inner(x))) + y


def lowered(model, precision="int8"):
    torch.manual_seed(1)
    lower(model, precision)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("act", [nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU()], ids=repr)
@pytest.mark.parametrize("kind, layer", [(Block, "inner"), (Gated, "gate")])
def test_an_activation_is_computed_along_with_its_layer(kind, layer, act):
    model, x = lowered(kind(act)), torch.randn(40, WIDTH)
    before = model(x)
    fuse_curves(model)
    assert getattr(model, layer).curve is not None
    assert type(model.act) is nn.Identity
    assert (model(x) - before).norm() < 0.01 * before.norm()
    others = {"inner", "gate", "outer"} - {layer}
    assert all(getattr(getattr(model, name, None), "curve", None) is None for name in others)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_with_a_curve_gives_it_in_every_mode(precision, training):
    torch.manual_seed(1)
    layer = LowPrecisionLinear(WIDTH, 8, precision=precision).train(training)
    x = torch.randn(5, WIDTH, requires_grad=True)
    want = functional.gelu(layer(x)).double()
    layer.curve = "gelu"
    found = layer(x)
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-5)
    found.sum().backward()
    assert x.grad.isfinite().all()
    with torch.no_grad():
        torch.testing.assert_close(layer(x).double(), want, rtol=1e-5, atol=1e-5)
    assert "curve=gelu" in repr(layer)


@pytest.mark.parametrize("kind", [ReadTwice, CalledTwice, Scaled, Asks])
def test_where_something_else_reads_or_writes_nothing_changes(kind):
    model = lowered(kind(nn.GELU()))
    fuse_curves(model)
    assert type(model.act) is nn.GELU
    assert all(layer.curve is None for layer in (model.inner, model.outer))


def test_what_is_listened_to_or_of_other_precision_stays():
    heard = lowered(Block(nn.GELU()))
    heard.inner.register_forward_hook(lambda *_: None)
    acting = lowered(Block(nn.GELU()))
    acting.act.register_forward_hook(lambda *_: None)
    half = lowered(Block(nn.GELU()), "bf16")
    for model in (heard, acting, half, Block(nn.GELU())):
        fuse_curves(model)
        assert type(model.act) is nn.GELU


@pytest.mark.parametrize(
    "module, curve",
    [
        (nn.GELU(), "gelu"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (nn.SiLU(), "silu"),
        *((each, None) for each in (nn.ReLU(), nn.Identity(), nn.Tanh(), nn.Dropout(), nn.PReLU())),
        *((each, None) for each in (nn.LeakyReLU(), nn.Softmax(-1), nn.Linear(129, 129))),
        *((each, None) for each in (nn.Flatten(0), nn.Embedding(3, 3), nn.Sequential(nn.GELU()))),
    ],
    ids=repr,
)
def test_a_curve_is_known_by_what_it_gives(module, curve):
    assert curve_of(module) == curve


@torch.no_grad()
def test_a_model_made_int8_has_its_activations_in_its_layers():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256))})
    x, plain = torch.randn(9, 256), copy.deepcopy(model)
    lower_wide(model, "int8", narrowest=256)
    assert model["a"][0].curve == "gelu"
    assert type(model["a"][1]) is nn.Identity
    want = plain["a"](x)
    assert (model["a"].eval()(x) - want).norm() < 0.05 * want.norm()
