"""Products of few bits: what they are, what they are learned with, and when they are made anew."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.errors import ConfigError
from heedful.nn.low_precision import LARGEST, LowPrecisionLinear
from heedful.testing.tolerance import assert_close

PRECISIONS = ("bf16", "int8")
INS, OUTS = 48, 20


@pytest.fixture
def make():
    def make(precision, *, bias=True, seed=1):
        torch.manual_seed(seed)
        layer = LowPrecisionLinear(INS, OUTS, bias, precision=precision)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        return layer

    return make


def quantised(x):
    """What eight bits with one scale and one zero keep of it, in float64."""
    x = x.double()
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    return ((x / step).round() + zero).clamp(0, 255).sub(zero) * step


def product(layer, x):
    """What the layer should give, in float64."""
    if layer.precision == "bf16":
        x, weight = x.bfloat16().double(), layer.weight.bfloat16().double()
    else:
        rows = [row / row.abs().max().double() * LARGEST for row in layer.weight.double()]
        scales = layer.weight.double().abs().amax(1, keepdim=True) / LARGEST
        x, weight = quantised(x), torch.stack(rows).round() * scales
    made = x @ weight.T
    return made if layer.bias is None else made + layer.bias.double()


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (), (2, 1, 3)], ids=str)
def test_is_the_product_of_rounded_numbers(make, precision, bias, shape):
    layer, x = make(precision, bias=bias), torch.randn(*shape, INS)
    want = product(layer, x)
    largest = want.abs().max().item()
    # bf16 rounds the result; a value of x half way between two of eight bits may go either way
    step = (x.max() - x.min()).item() / 255 * layer.weight.abs().max().item()
    band = 2**-8 * 2 * largest if precision == "bf16" else 1.01 * step + 1e-5 * largest
    got = layer(x)
    assert got.shape == (*shape, OUTS)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=0, atol=band)
    plain = functional.linear(x, layer.weight, layer.bias)
    assert 1e-4 < (got - plain).norm() / plain.norm() < 0.05


@pytest.mark.parametrize("precision", PRECISIONS)
def test_learns_through_its_rounding(make, precision):
    layer, x = make(precision), torch.randn(7, INS, requires_grad=True)
    out = layer(x)
    assert_close(
        out, functional.linear(x, layer.rounded().float(), layer.bias), roundings=8, largest=50
    )
    out.square().sum().backward()
    gradient = 2 * out.detach().double()
    assert_close(layer.weight.grad, gradient.T @ x.detach().double(), roundings=40, largest=500)
    assert_close(x.grad, gradient @ layer.rounded().double(), roundings=80, largest=500)
    assert_close(layer.bias.grad, gradient.sum(0), roundings=20, largest=500)


@torch.no_grad()
@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_gives_nothing_and_a_text_of_zeros_the_bias(make, precision):
    layer = make(precision)
    assert layer(torch.ones(3, 0, INS)).shape == (3, 0, OUTS)
    want = layer.bias.bfloat16().float() if precision == "bf16" else layer.bias
    assert torch.equal(layer(torch.zeros(2, INS)), want.expand(2, OUTS))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_of_zeros_stays_one(make, precision):
    layer = make(precision, bias=False)
    layer.weight.data[3] = 0
    with torch.no_grad():
        out = layer(torch.randn(5, INS))
    assert not out[:, 3].any()
    assert out.isfinite().all()
    assert not layer.rounded()[3].any()


def written(layer):
    layer.weight.mul_(2)


def loaded(layer):
    layer.load_state_dict({"weight": torch.randn(OUTS, INS), "bias": torch.randn(OUTS)})


def set_anew(layer):
    layer.weight.data = torch.randn(OUTS, INS)


def replaced(layer):
    layer.weight = nn.Parameter(torch.randn(OUTS, INS))


@torch.no_grad()
@pytest.mark.parametrize("change", [written, loaded, set_anew, replaced])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_follows_its_weight(make, precision, change):
    layer, x = make(precision), torch.randn(5, INS)
    first = layer(x)
    assert torch.equal(layer(x), first)
    change(layer)
    fresh = make(precision)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), fresh(x))
    assert not torch.equal(layer(x), first)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_that_nobody_counts_changes_of_are_read_each_time(make, precision):
    x = torch.randn(5, INS)
    with torch.inference_mode():
        layer = make(precision)
        first = layer(x)
        layer.weight.mul_(2)
        assert not torch.equal(layer(x), first)


@torch.no_grad()
@pytest.mark.parametrize("precision", PRECISIONS)
def test_copies_stand_alone_and_only_parameters_are_stored(make, precision):
    layer, x = make(precision), torch.randn(5, INS)
    first = layer(x)
    assert len(pickle.dumps(layer)) == len(pickle.dumps(make(precision)))
    twin = copy.deepcopy(layer)
    twin.weight.mul_(2)
    assert torch.equal(layer(x), first)
    assert not torch.equal(twin(x), first)
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert f"precision={precision}" in repr(layer)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_gives_the_dtype_that_it_gets(make, precision, dtype):
    layer, x = make(precision).to(dtype), torch.randn(5, INS, dtype=dtype)
    out = layer(x)
    assert out.dtype == dtype
    plain = functional.linear(x.double(), layer.weight.double(), layer.bias.double())
    assert (out.double() - plain).norm() / plain.norm() < 0.05


def test_names_what_there_is():
    message = r"precision must be one of bf16, int8, got 'int4'"
    with pytest.raises(ConfigError, match=message):
        LowPrecisionLinear(4, 4, precision="int4")
