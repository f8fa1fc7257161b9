"""Raw memory is touched only where nobody else must see it."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from heedful import listeners
from heedful.kernels.attend import attend
from heedful.kernels.cpu.build import compiler
from heedful.mask import Mask


class Subclass(torch.Tensor):
    pass


class Functions(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def negative():
    return torch.randn(2, 3, dtype=torch.complex64, generator=torch.Generator()).conj().imag


def test_a_plain_tensor_is_its_memory():
    x = torch.ones(2, 3)
    assert listeners.raw(x, None, torch.nn.Parameter(x), x.T, x[:, 1])
    with torch.inference_mode():
        assert listeners.raw(torch.ones(2))


@pytest.mark.parametrize(
    "tensor",
    [
        negative(),
        torch.ones(2, 3).as_subclass(Subclass),
        torch.ones(2, 3).to_sparse(),
        torch.ones(2, 3, device="meta"),
        torch._efficientzerotensor((2, 3)),
    ],
    ids=["negative", "subclass", "sparse", "meta", "zero"],
)
def test_others_are_more(tensor):
    assert not listeners.raw(torch.ones(2, 3), tensor)


def test_whoever_listens_is_heard():
    seen, x = [], torch.ones(2)

    def ask(x):
        seen.append(listeners.raw(torch.ones(2)))
        return x * 2

    for transform in (torch.func.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())):
        transform(ask)(x)
    with forward_ad.dual_level():
        ask(x)
    with Functions(), Operations():
        ask(x)
    with Functions():
        ask(x)
    with Operations():
        ask(x)
    assert len(seen) == 6
    assert not any(seen)
    ask(x)
    assert seen[-1]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", ["none", "causal", "lengths", "segments", "dense"])
def test_a_trace_gives_what_is_traced(kind):
    def function(query, key, value, given):
        masks = {
            "none": lambda: None,
            "causal": Mask.causal,
            "lengths": lambda: Mask.lengths(given[:, 0]),
            "segments": lambda: Mask.segments(given),
            "dense": lambda: Mask.dense(given[:, None, None] > 3),
        }
        return attend(query, key, value, mask=masks[kind]())

    def inputs(seed):
        generator = torch.Generator().manual_seed(seed)
        tensors = [torch.randn(2, 4, 9, 8, generator=generator) for _ in range(3)]
        return (*tensors, torch.randint(1, 10, (2, 9), generator=generator))

    with torch.no_grad():
        traced = torch.jit.trace(function, inputs(1), check_trace=False)
        for seed in (1, 2):
            torch.testing.assert_close(traced(*inputs(seed)), function(*inputs(seed)))


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("impl", ["cpu", "sdpa"])
def test_a_sign_that_is_only_noted_is_read(impl):
    generator = torch.Generator().manual_seed(1)
    tensors = [
        torch.randn(1, 2, 5, 4, dtype=torch.complex64, generator=generator).conj().imag
        for _ in range(3)
    ]
    bias = torch.randn(5, 5, dtype=torch.complex64, generator=generator).conj().imag
    assert tensors[0].is_neg()
    want = attend(*(x.clone() for x in tensors), bias=bias.clone(), impl=impl)
    torch.testing.assert_close(attend(*tensors, bias=bias, impl=impl), want)
    leaves = [x.clone().requires_grad_() for x in tensors]
    attend(*leaves, impl=impl).backward(tensors[0])
    by = [x.grad.clone() for x in leaves]
    for x in leaves:
        x.grad = None
    attend(*leaves, impl=impl).backward(tensors[0].clone())
    for x, y in zip(leaves, by, strict=True):
        torch.testing.assert_close(x.grad, y)


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_modes_see_the_operation():
    x = torch.ones(1, 2, 5, 4)
    for mode in (Functions(), Operations()):
        with mode:
            attend(x, x, x, impl="cpu")
        assert any("heedful" in name for name in mode.seen)


@pytest.mark.parametrize("kind", ["lengths", "segments", "dense", "blocks"])
def test_masks_of_each_sample(kind):
    """`vmap` over masks, with gradients: as one by one."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 6, 4, generator=generator)
    given = {
        "lengths": torch.tensor([[6], [2], [4]]),
        "segments": torch.randint(0, 2, (3, 1, 6), generator=generator),
        "dense": torch.rand(3, 1, 1, 6, 6, generator=generator) > 0.4,
        "blocks": torch.rand(3, 1, 1, 2, 2, generator=generator) > 0.4,
    }[kind]

    def loss(x, given):
        make = getattr(Mask, kind)
        mask = make(given, block=3) if kind == "blocks" else make(given)
        y = x[None, None]
        return attend(y, y, y, mask=mask).square().sum()

    gradient = torch.func.grad(loss)
    want = torch.stack([gradient(a, b) for a, b in zip(x, given, strict=True)])
    torch.testing.assert_close(torch.func.vmap(gradient)(x, given), want)
