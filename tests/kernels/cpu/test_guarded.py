"""The native kernel's second answer: asked for only where something is not finite."""

import math

import pytest
import torch

from heedful.kernels import hidden
from heedful.kernels.attend import attend
from heedful.kernels.cpu import native
from heedful.mask import Mask


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(dtype=torch.float32, queries=30):
    shapes = ((2, 4, queries, 20), (2, 2, 70, 20), (2, 2, 70, 12))
    return [draw(*shape, seed=n, dtype=dtype) for n, shape in enumerate(shapes)]


@pytest.fixture
def cleaned(monkeypatch, kernel):
    """How often a call was cleaned."""
    count, clean = [], hidden.clean
    monkeypatch.setattr(hidden, "clean", lambda *given: count.append(1) or clean(*given))
    return count


@pytest.mark.parametrize("queries", [1, 30])
@pytest.mark.parametrize("dtype", list(native.TYPES))
def test_numbers_are_answered_once(cleaned, dtype, queries):
    leaves = [x.requires_grad_() for x in tensors(dtype, queries)]
    for mask in (None, Mask.causal(), Mask.lengths(torch.tensor([0, 50]))):
        attend(*leaves, mask=mask, impl="cpu").sum().backward()
    assert not cleaned


@pytest.mark.parametrize("queries", [1, 30])
@pytest.mark.parametrize("dtype", list(native.TYPES))
def test_the_library_says_what_is_not_finite(kernel, dtype, queries):
    pattern = Mask.causal().pattern(queries, 70, batch=2, heads=4)
    for place, number in ((-1, math.nan), (5, math.inf)):
        query, key, value = tensors(dtype, queries)
        value[1, 1, place, 11] = number
        assert not native.forward(query, key, value, None, pattern, 0.2).finite
        value[1, 1, place, 11] = 0
        found = native.forward(query, key, value, None, pattern, 0.2, log_sum=True)
        assert found.finite
        for which in range(3):
            by, inputs = draw(*found.output.shape, dtype=dtype), [query, key, value]
            inputs[which] = inputs[which].clone()
            inputs[which][0, 0, -1, 3] = number
            given = ((by, None), (*inputs, None), pattern, 0.2, found[:2])
            assert not native.backward(*given).finite


def test_lengths_are_answered_once_whatever_lies_behind(cleaned):
    query, key, value = tensors()
    key[0, :, 40:] = value[0, :, 40:] = math.nan
    attend(query, key, value, mask=Mask.lengths(torch.tensor([40, 70])), impl="cpu")
    assert not cleaned


def test_the_gradient_of_a_bias_too(kernel):
    query, key, value = tensors()
    bias = draw(1, 4, 1, 70).requires_grad_()
    position, place = torch.arange(40, 70), torch.arange(70)
    clean = (position < 60) | (position > 64)  # do not see key 60
    apart = (place < 56) | (place > 64)  # are not seen by those who do
    answers = []
    for number in (0.0, math.nan):
        spoilt = [query, key.clone(), value.clone()]
        for x in spoilt[1:]:
            x[:, :, 60] = number
        bias.grad = None
        output = attend(*spoilt, mask=Mask.window(5), bias=bias, impl="cpu")
        output[:, :, clean].sum().backward()
        answers.append((output[:, :, clean], bias.grad[..., apart].clone()))
    assert torch.equal(answers[0][0], answers[1][0])
    assert torch.equal(answers[0][1], answers[1][1])


def test_also_while_compiled(kernel):
    query, key, value = tensors()
    mask = Mask.dense(torch.arange(70)[None] < 50)
    key[:, :, 50:], value[:, :, 50:] = math.nan, math.inf

    def run(query, key, value):
        return attend(query, key, value, mask=mask, impl="cpu")

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    leaves = [x.requires_grad_() for x in (query, key, value)]
    want = torch.autograd.grad(run(*leaves).sum(), leaves)
    found = torch.autograd.grad(compiled(*leaves).sum(), leaves)
    torch.compiler.reset()
    assert all(bool(x.isfinite().all()) for x in want)
    assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))
