"""A convolution that is called as attention: taps where they belong, masks, caches, refusals."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache
from heedful.nn.fusion import LocalConvolution
from heedful.testing.tolerance import assert_close

WIDTH = 6
MASKS = [None, Mask.causal(), Mask.lengths(torch.tensor([4, 9]))]
MASKS.append(MASKS[1] & MASKS[2])


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(kernel=5):
    module = LocalConvolution(width=WIDTH, kernel=kernel).double()
    for seed, parameter in enumerate(module.parameters()):
        parameter.data = draw(*parameter.shape, seed=seed + 10) / 2
    return module


def loops(module, x, sees):
    """Position by position, tap by tap."""
    state = {name: p.detach() for name, p in module.named_parameters()}
    whole = x @ state["inner.weight"].T + state["inner.bias"]
    gated = whole[..., :WIDTH] / (1 + (-whole[..., WIDTH:]).exp())
    mixed = torch.zeros_like(gated)
    for b in range(len(x)):
        for p in range(x.shape[1]):
            for tap in range(module.kernel):
                q = p + tap - module.kernel // 2
                if 0 <= q < x.shape[1] and sees(b, p, q):
                    mixed[b, p] += state["taps"][:, tap] * gated[b, q]
    return mixed @ state["out.weight"].T + state["out.bias"]


def same(actual, want):
    assert_close(actual, want, roundings=200, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("kernel", [1, 5, 21])
@pytest.mark.parametrize("length", [1, 9])
def test_is_the_loops(kernel, mask, length):
    module, x = build(kernel), draw(2, length, WIDTH)
    if length == 1 and mask is not None and mask != MASKS[1]:
        mask = Mask.lengths(torch.tensor([0, 1]))
    found = None if mask is None else mask.to_bool(length, length, batch=2, heads=1)
    table = None if found is None else found.expand(2, 1, length, length)
    want = loops(module, x, lambda b, p, q: table is None or table[b, 0, p, q])
    same(module(x, mask=mask), want)


def test_starts_as_its_bias_and_learns():
    module = LocalConvolution(width=WIDTH, kernel=3)
    module.out.bias.data = torch.arange(6.0)
    x = draw(2, 9, WIDTH).float()
    output = module(x)
    assert torch.equal(output, torch.arange(6.0).expand(2, 9, 6))
    output.square().sum().backward()
    assert module.out.weight.grad.abs().max() > 0


@pytest.mark.parametrize("parts", [[1] * 9, [4, 1, 1, 3], [9]])
@pytest.mark.parametrize("kernel", [1, 3, 7, 21])
@pytest.mark.parametrize("hidden", [None, [1, 0, 1, 1, 1, 0, 1, 1, 1]])
def test_steps_are_one_causal_pass(in_steps, kernel, parts, hidden):
    module, x, cache = build(kernel), draw(2, 9, WIDTH), KeyValueCache()
    same(*in_steps(module, x, parts, hidden, cache))
    assert cache.length == 9


def test_rows_of_a_cache_can_be_chosen(last_of):
    same(*last_of(torch.tensor([1, 1, 0]), build(), draw(2, 9, WIDTH)))


def test_says_what_it_is_not_called_with():
    module, x = build(), draw(2, 9, WIDTH)
    assert torch.equal(module(x, x), module(x))
    with pytest.raises(UnsupportedError, match="context must be None for the convolution, got"):
        module(x, x.clone())
    with pytest.raises(UnsupportedError, match="gates must be None for the convolution, got"):
        module(x, gates=torch.ones(2, 1, 9, 1))
    with pytest.raises(UnsupportedError, match="because the convolution mixes neighbours whoever"):
        module(x, mask=Mask.window(3))
    with pytest.raises(ShapeError):
        module(x, mask=Mask.dense(torch.ones(1, 3, 1, 9).bool()))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0, "kernel": 3}, "width must be at least 1, got 0"),
        ({"width": 4, "kernel": 0}, "kernel must be at least 1, got 0"),
        ({"width": 4, "kernel": 2}, "kernel must be odd, got 2"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        LocalConvolution(**settings)
