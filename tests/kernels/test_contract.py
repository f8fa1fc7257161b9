"""The one door keeps the contract of attention, and all kernels behind it give the same."""

import pytest
import torch

import heedful
from heedful.errors import KernelError
from heedful.kernels.cpu import build
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings


class TestDoor(AttentionContract):
    """Whatever `auto` chooses."""

    every_case = True

    @pytest.fixture
    def claim(self):
        return Claim(attention=heedful.attend, oracle=oracle.scaled_dot, twice_differentiable=False)


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(sizes, dtype):
    return (
        draw(sizes.batch, sizes.heads, sizes.queries, sizes.dim, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim, seed=2, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.value_dim, seed=3, dtype=dtype),
    )


def run(impl, given, by=None, **settings):
    """The output of a kernel, and the gradients where `by` is given."""
    leaves = [x.clone().requires_grad_(by is not None) for x in given]
    try:
        output = heedful.attend(*leaves, impl=impl, **settings)
    except KernelError as reason:
        if impl != "cpu" or (build.switched_on() and build.compiler() is not None):
            raise  # it could be had
        pytest.skip(str(reason).partition("\n")[0])
    return [output.detach(), *(() if by is None else torch.autograd.grad(output, leaves, by))]


# all are compared with torch's own in double precision; flex is for GPUs
@pytest.mark.parametrize(
    "impl, dtype",
    [
        ("cpu", torch.float32),
        ("cpu", torch.bfloat16),
        ("sdpa", torch.float32),
        ("sdpa", torch.bfloat16),
        ("plain", torch.bfloat16),
        ("auto", torch.bfloat16),
    ],
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", MASKS)
def test_kernels_agree(impl, dtype, training, kind):
    sizes = Sizes(kv_heads=2, queries=20, keys=37, dim=16, value_dim=24)
    mask, _ = MASKS[kind](sizes)
    given, bias = tensors(sizes, dtype), draw(4, 1, 37, seed=4)
    by = draw(2, 4, 20, 24, seed=6, dtype=dtype) if training else None
    found = run(impl, given, by, mask=mask, bias=bias)
    exact = None if by is None else by.double()
    want = run("sdpa", [x.double() for x in given], exact, mask=mask, bias=bias.double())
    limit = roundings(dtype, 16, 37, 37)
    for one, other in zip(found, want, strict=True):
        largest = max(1.0, float(other.abs().max()))
        # stored scores in half precision are rounded too, and then magnified by exp
        largest *= 4 if dtype == torch.bfloat16 else 1
        assert_close(one, other, roundings=limit, largest=largest)
