"""A linear layer of 8 bits in one native call, against its rule in float64."""

import math
from types import SimpleNamespace

import pytest
import torch

from heedful.errors import KernelError
from heedful.kernels.cpu import build
from heedful.kernels.linear import product
from heedful.kernels.linear.product import CURVES, int8_linear

WIDTHS = ((48, 20), (33, 17), (5, 1), (1, 70), (260, 40))  # even and odd, one panel and several


@pytest.fixture(params=["native", "plain"])
def way(request, monkeypatch):
    """The library, and the operations that do without."""
    if request.param == "native":
        try:
            build.load(sources=product.SOURCES)
        except KernelError as error:
            pytest.skip(str(error))
    else:
        monkeypatch.setattr(product, "_library", [])
        monkeypatch.setattr(build, "load", _nothing)
    return request.param


def _nothing(**_):
    raise KernelError("none here")


def drawn(rows, ins, outs, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, ins, generator=draw) * torch.logspace(-2, 2, rows)[:, None]
    whole = torch.randint(-127, 128, (outs, ins), generator=draw, dtype=torch.int8)
    steps = torch.rand(outs, generator=draw) / ins + 1e-3
    return x, whole, steps, torch.randn(outs, generator=draw)


def rule(x, whole, steps, bias, curve):
    """What should come out, and how far the rounding of one number of a row can move it."""
    x, whole, steps = x.double(), whole.double(), steps.double()
    sizes = x.abs().amax(1, keepdim=True)
    low = (x / sizes * 127).round() / 127 * sizes
    made = low @ (whole * steps[:, None]).T + (0 if bias is None else bias.double())
    if curve == "silu":
        made = made * torch.sigmoid(made)
    elif curve == "gelu":
        made = made * (1 + torch.erf(made / math.sqrt(2))) / 2
    elif curve == "gelu_tanh":
        inner = math.sqrt(2 / math.pi) * (made + 0.044715 * made**3)
        made = made * (1 + inner.tanh()) / 2
    return made, sizes * steps


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("ins, outs", WIDTHS)
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9, 530])
def test_is_the_product_of_rounded_numbers(way, rows, ins, outs, curve):
    for bias in (True, False):
        x, whole, steps, more = drawn(rows, ins, outs)
        given = more if bias else None
        want, step = rule(x, whole, steps, given, curve)
        got = int8_linear(x, whole, steps, given, curve)
        assert got.shape == (rows, outs)
        # a number half way between two of 8 bits may go either way, as may one more of the row
        band = 2.5 * step + 1e-5 * want.abs() + 1e-6 * want.abs().amax(1, keepdim=True) + 1e-6
        assert ((got.double() - want).abs() <= band).all()


def test_whole_numbers_are_multiplied_exactly(way):
    """Sums of the largest numbers there are fit, whatever their signs."""
    for sign in (1, -1):
        x, whole = torch.full((5, 1000), 127.0), torch.full((9, 1000), 127 * sign).to(torch.int8)
        got = int8_linear(x, whole, torch.ones(9))
        assert torch.allclose(got, torch.full((5, 9), 127.0 * 127 * 1000 * sign), rtol=1e-6)


@pytest.mark.parametrize("beside", [float("nan"), float("inf"), -float("inf"), 1e30, 0.0])
@pytest.mark.parametrize("rows", [3, 40])
def test_no_row_is_another_for_what_stands_beside_it(way, rows, beside):
    x, whole, steps, bias = drawn(rows, 50, 30)
    alone = int8_linear(x, whole, steps, bias, "gelu")
    x[1] = beside
    together = int8_linear(x, whole, steps, bias, "gelu")
    others = [row for row in range(rows) if row != 1]
    assert torch.equal(together[others], alone[others])
    assert bool(together[1].isfinite().all()) is math.isfinite(beside)
    if way == "native":
        for row in others:
            assert torch.equal(
                int8_linear(x[row : row + 1], whole, steps, bias, "gelu")[0], alone[row]
            )


def test_nothing_gives_nothing_and_zeros_the_bias(way):
    x, whole, steps, bias = drawn(4, 16, 12)
    assert int8_linear(x[:0], whole, steps, bias).shape == (0, 12)
    assert torch.equal(int8_linear(0 * x, whole, steps, bias), bias.expand(4, 12))


def test_what_lies_otherwise_is_read_as_it_reads(way):
    x, whole, steps, bias = drawn(6, 16, 12)
    want = int8_linear(x, whole, steps, bias)
    scattered = (x.T.contiguous().T, whole.T.contiguous().T)
    spaced = (torch.stack([steps, steps], 1)[:, 0], torch.stack([bias, bias], 1)[:, 0])
    assert torch.equal(int8_linear(*scattered, *spaced), want)


def test_no_memory_is_said(monkeypatch):
    monkeypatch.setattr(product, "_loaded", lambda: SimpleNamespace(heedful_linear=lambda *_: 2))
    with pytest.raises(KernelError, match="a product must fit into memory, got no memory left"):
        int8_linear(*drawn(2, 4, 3))
