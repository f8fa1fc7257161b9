"""Products of few bits: what they are, what they are learned with, and when they are made anew."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.errors import ConfigError
from heedful.nn._int8 import LARGEST
from heedful.nn.low_precision import MANY, LowPrecisionLinear
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
        return layer.eval()

    return make


def quantised(x):
    """What eight bits between plus and minus the largest number of a row keep of it, in float64."""
    x = x.double()
    size = x.abs().amax(-1, keepdim=True)
    return (x / size * LARGEST).round() / LARGEST * size


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
    step = x.abs().max().item() / LARGEST * layer.weight.abs().max().item()
    band = 2**-8 * 2 * largest if precision == "bf16" else 1.01 * step + 1e-5 * largest
    got = layer(x)
    assert got.shape == (*shape, OUTS)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=0, atol=band)
    plain = functional.linear(x, layer.weight, layer.bias)
    assert 1e-4 < (got - plain).norm() / plain.norm() < 0.05


@pytest.mark.parametrize("precision", PRECISIONS)
def test_learns_through_its_rounding(make, precision):
    layer, x = make(precision).train(), torch.randn(7, INS, requires_grad=True)
    out = layer(x)
    assert_close(
        out, functional.linear(x, layer.rounded().float(), layer.bias), roundings=8, largest=50
    )
    out.square().sum().backward()
    gradient = 2 * out.detach().double()
    assert_close(layer.weight.grad, gradient.T @ x.detach().double(), roundings=40, largest=500)
    assert_close(x.grad, gradient @ layer.rounded().double(), roundings=80, largest=500)
    assert_close(layer.bias.grad, gradient.sum(0), roundings=20, largest=500)


@pytest.mark.parametrize("shape", [(INS,), (7, INS), (2, 3, INS)], ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_in_evaluation_it_says_the_same_with_gradients_and_without(make, precision, shape):
    layer, x = make(precision), torch.randn(shape, requires_grad=True)
    out = layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), out)
    given = torch.randn_like(out)
    out.backward(given)
    rows, grads = x.detach().double().reshape(-1, INS), given.double().reshape(-1, OUTS)
    assert_close(layer.weight.grad, grads.T @ rows, roundings=40, largest=20)
    assert_close(layer.bias.grad, grads.sum(0), roundings=20, largest=20)
    of_x = (grads @ layer.rounded().double()).reshape(shape)
    assert_close(x.grad, of_x, roundings=80, largest=50)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_those_that_are_asked_for(make, precision):
    layer, x = make(precision), torch.randn(5, INS, requires_grad=True)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    again = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(again.sum(), x)[0].isfinite().all()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("how", ["grad", "vmap", "jvp", "export"])
def test_who_looks_into_it_sees_the_product_by_the_rounded_weight(make, precision, how):
    layer, x = make(precision), torch.randn(5, INS)
    want = functional.linear(x, layer.rounded().float(), layer.bias)
    if how == "grad":
        found = torch.func.grad(lambda x: layer(x).sum())(x)
        want = layer.rounded().float().sum(0).expand_as(x)
    elif how == "vmap":
        found = torch.func.vmap(layer)(x)
    elif how == "jvp":
        found, tangent = torch.func.jvp(layer, (x,), (x,))
        assert_close(tangent, want - layer.bias, roundings=80, largest=50)
    else:
        found = torch.export.export(layer, (x,)).module()(x)
    assert_close(found, want, roundings=80, largest=50)


@torch.no_grad()
@pytest.mark.parametrize("beside", [100.0, 1e30, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_row_is_another_for_what_stands_beside_it(make, precision, beside):
    layer, x = make(precision), torch.randn(6, INS)
    alone = layer(x)
    together = layer(torch.cat([x[:3], beside * torch.ones(1, INS), x[3:]]))
    assert torch.equal(together[[0, 1, 2, 4, 5, 6]], alone)
    if beside * 0 != 0:
        assert not together[3].isfinite().any()
    else:
        want = functional.linear(beside * torch.ones(INS), layer.rounded().float())
        torch.testing.assert_close(together[3], want, rtol=1e-2, atol=beside / 10)
    assert torch.equal(torch.stack([layer(row) for row in x]), alone)


@torch.no_grad()
def test_many_rows_are_multiplied_as_few_are(make):
    layer, x = make("int8"), torch.randn(1030, INS)
    apart = torch.cat([layer(part) for part in x.split(100)])
    torch.testing.assert_close(layer(x), apart, rtol=1e-6, atol=1e-6)


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
    layer.weight.data = torch.randn_like(layer.weight)


def replaced(layer):
    layer.weight = nn.Parameter(torch.randn_like(layer.weight))


def merged(layer):
    layer.weight.data += torch.randn(OUTS, 1) @ torch.randn(1, INS)


def averaged(layer):
    layer.weight.data.lerp_(torch.randn_like(layer.weight), 0.5)


def through_numpy(layer):
    layer.weight.detach().numpy()[:] *= 2


def one_row(layer):
    layer.weight.data[7] = 0


def one_column(layer):
    layer.weight.data[:, 11] = 0


def rows_that_change_places(layer):
    layer.weight.data[:] = layer.weight.data.flip(0)


CHANGES = [
    written,
    loaded,
    set_anew,
    replaced,
    merged,
    averaged,
    through_numpy,
    one_row,
    one_column,
    rows_that_change_places,
]


@torch.no_grad()
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_follows_its_weight(make, precision, change, rows, dtype):
    if change is through_numpy and dtype == torch.bfloat16:
        pytest.skip("numpy has no bfloat16")
    layer, x = make(precision).to(dtype), torch.randn(rows, INS, dtype=dtype)
    first = layer(x)
    assert torch.equal(layer(x), first)
    change(layer)
    fresh = make(precision).to(dtype)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), fresh(x))
    assert not torch.equal(layer(x), first)


@torch.no_grad()
@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_number_that_nobody_counts_is_seen_by_calls_of_many_rows(make, precision):
    layer, x = make(precision), torch.randn(MANY, INS)
    first = layer(x)
    layer.weight.data[3, 5] += 1
    assert not torch.equal(layer(x)[:, 3], first[:, 3])


@torch.no_grad()
@pytest.mark.parametrize("outs, ins", [(1, 1), (3, 1), (1, 3), (5, 7), (7, 5)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_of_any_size(precision, outs, ins):
    layer = LowPrecisionLinear(ins, outs, precision=precision).eval()
    x = torch.randn(4, ins)
    want = functional.linear(x, layer.weight, layer.bias)
    for _ in range(2):
        torch.testing.assert_close(layer(x), want, rtol=0.1, atol=0.1)


@torch.no_grad()
def test_a_weight_that_lies_scattered_is_read_each_time(make):
    layer, x = make("int8"), torch.randn(5, INS)
    layer.weight = nn.Parameter(torch.randn(INS, OUTS).T)
    first = layer(x)
    layer.weight.data[3, 5] += 1
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


def test_rejects_what_there_is_not():
    message = r"precision must be one of bf16, int8, got 'int4'"
    with pytest.raises(ConfigError, match=message):
        LowPrecisionLinear(4, 4, precision="int4")
