"""Plain operations give what the kernels give, and more kinds of derivatives."""

import math

import pytest
import torch
from torch.autograd import forward_ad

from heedful.kernels import composed
from heedful.kernels.attend import attend
from heedful.kernels.call import Call
from heedful.mask import Mask

# how torch itself finds some derivatives along a direction
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def tensors():
    return draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)


BLIND = torch.tensor([0, 4])


@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.lengths(BLIND)])
@pytest.mark.parametrize(
    "bias", [None, draw(1, 4, 5, 7), draw(5, 7).masked_fill(BLIND.any(), -9.0)]
)
def test_as_the_kernel(mask, bias):
    want = attend(*tensors(), mask=mask, bias=bias, impl="sdpa")
    call = Call.of(*tensors(), mask, bias)
    torch.testing.assert_close(composed.run(call), want)
    exact = composed.exact(*tensors(), bias, call.visible(), call.scale)
    torch.testing.assert_close(exact, want)


def test_the_logarithm_of_the_sum():
    query, key, value = tensors()
    visible = Mask.lengths(BLIND).to_bool(5, 7, batch=2)
    _, sums = composed.attend(query, key, value, None, visible, 1.0)
    scores = query[1, 0] @ key[1, 0, :4].T
    torch.testing.assert_close(sums[1, 0], scores.exp().sum(-1).log())
    assert bool((sums[0] == -math.inf).all())


def test_derivatives_of_every_kind():
    inputs = [x.requires_grad_() for x in tensors()]

    def function(*tensors):
        return composed.run(Call.of(*tensors, Mask.causal() & Mask.lengths(BLIND)))

    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("impl", ["auto", "sdpa"])
@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.lengths(BLIND)])
def test_the_derivative_along_a_direction(impl, mask):
    query, key, value = (x.float() for x in tensors())
    toward, step = draw(2, 4, 5, 3, seed=4), 1e-6
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(query, toward.float())
        found = forward_ad.unpack_dual(attend(dual, key, value, mask=mask, impl=impl)).tangent
    ends = [
        attend(query.double() + sign * step * toward, key.double(), value.double(), mask=mask)
        for sign in (1, -1)
    ]
    assert found is not None
    torch.testing.assert_close(found.double(), (ends[0] - ends[1]) / (2 * step), rtol=0, atol=1e-5)


def test_the_derivative_that_func_takes():
    query, key, value = (x.float() for x in tensors())
    toward = draw(2, 4, 5, 3, seed=4).float()
    _, found = torch.func.jvp(lambda q: attend(q, key, value), (query,), (toward,))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(query, toward)
        want = forward_ad.unpack_dual(attend(dual, key, value)).tangent
    assert torch.equal(found, want)


def test_dropout_drops():
    torch.manual_seed(0)
    call = Call.of(*tensors(), None, None, None, 0.5)
    assert not torch.equal(composed.run(call), composed.run(call))
