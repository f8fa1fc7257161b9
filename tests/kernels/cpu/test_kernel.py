"""Which calls the native kernel takes, by which way it computes them, and what it gives."""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import heedful
from heedful.errors import KernelError, UnsupportedError
from heedful.kernels import _kernels
from heedful.kernels.call import Call, Missing
from heedful.kernels.cpu import autograd, build, kernel, native, operator
from heedful.mask import Mask


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(dtype=torch.float32, device="cpu"):
    shapes = ((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6))
    return [draw(*shape, seed=i, dtype=dtype).to(device) for i, shape in enumerate(shapes, 1)]


def reason(*given, **settings):
    return kernel.refuses(Call.of(*given, **settings))


# ---- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("kernel")
def test_takes_these(dtype):
    assert reason(*tensors(dtype)) is None
    bias = draw(7, dtype=torch.float64)
    assert reason(*tensors(dtype), mask=Mask.causal(), bias=bias, scale=-2.0) is None


@pytest.mark.usefixtures("kernel")
def test_refuses_with_a_reason():
    query, key, value = tensors()
    assert reason(*tensors(device="meta")) == (
        "the native kernel runs on CPU, the query is on meta"
    )
    assert reason(query, key, value, dropout=0.5) == (
        "dropout needs the weights, which the native kernel never stores"
    )
    assert reason(*tensors(torch.float64)) == (
        "the native kernel computes in float32, bfloat16 or float16, got torch.float64"
    )


@pytest.mark.parametrize("empty", ["batch", "heads", "queries", "keys", "dim", "value_dim"])
@pytest.mark.usefixtures("kernel")
def test_refuses_what_is_empty(empty):
    size = {"batch": 2, "heads": 4, "queries": 5, "keys": 7, "dim": 3, "value_dim": 6, empty: 0}
    kv_heads = 2
    query = draw(size["batch"], size["heads"], size["queries"], size["dim"])
    key = draw(size["batch"], kv_heads, size["keys"], size["dim"])
    value = draw(size["batch"], kv_heads, size["keys"], size["value_dim"])
    assert reason(query, key, value) == "there is nothing to compute"
    output = heedful.attend(query, key, value)  # another kernel takes it
    assert output.shape == (size["batch"], size["heads"], size["queries"], size["value_dim"])


@pytest.mark.usefixtures("kernel")
def test_refuses_transforms_of_functions():
    query, key, value = tensors()
    seen = []

    def attend(query):
        seen.append(reason(query, key, value))
        return heedful.attend(query, key, value).sum()

    gradient = torch.func.grad(attend)(query)
    assert seen == ["transforms of torch.func need plain torch operations"]
    leaf = query.clone().requires_grad_()
    want = torch.autograd.grad(heedful.attend(leaf, key, value, impl="cpu").sum(), leaf)[0]
    torch.testing.assert_close(gradient, want)
    torch.func.vmap(attend)(query[None])
    assert seen[1:] == seen[:1]


def test_cannot_be_had(monkeypatch):
    def fail():
        raise KernelError("the native kernel needs a C++ compiler, got none\nfor example g++")

    monkeypatch.setattr(native, "_library", [])
    monkeypatch.setattr(build, "load", fail)
    why = reason(*tensors())
    assert isinstance(why, Missing)
    assert why.startswith("the native kernel needs a C++ compiler, got none")
    with pytest.raises(KernelError, match=r"impl='cpu' must be able to run, got: .*C\+\+ compiler"):
        heedful.attend(*tensors(), impl="cpu")


@pytest.mark.usefixtures("kernel")
def test_switched_off(monkeypatch):
    native.library()
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    why = reason(*tensors())
    assert isinstance(why, Missing)
    assert why == "the native kernel must be switched on, got HEEDFUL_KERNELS=off"
    monkeypatch.setattr(_kernels, "_warned", [])
    assert "cpu" not in _kernels.candidates(Call.of(*tensors()))


@pytest.mark.usefixtures("kernel")
def test_tensors_elsewhere_go_elsewhere():
    given = tensors(device="meta")
    assert heedful.attend(*given).device.type == "meta"
    with pytest.raises(UnsupportedError, match=r"impl='cpu' must be able to run, got: .*on meta"):
        heedful.attend(*given, impl="cpu")


@pytest.mark.usefixtures("kernel")
def test_a_bias_or_a_mask_elsewhere_is_not_ignored():
    lengths = Mask.lengths(torch.tensor([3, 0])).to("meta")
    for settings in ({"bias": draw(7).to("meta")}, {"mask": lengths}):
        with pytest.raises((UnsupportedError, RuntimeError)):
            heedful.attend(*tensors(), impl="cpu", **settings)


# ---- by which way --------------------------------------------------------------------------------


@pytest.fixture
def ways(monkeypatch, kernel):
    """The names of the ways that a call takes, in order."""
    taken = []

    def watch(place, name, word):
        original = getattr(place, name)

        def watched(*given, **settings):
            taken.append(word)
            return original(*given, **settings)

        monkeypatch.setattr(place, name, watched)

    watch(native, "forward", "native")
    watch(autograd, "attend", "autograd")
    watch(operator, "attend", "operator")
    return taken


def test_the_way_is_as_short_as_it_can_be(ways):
    query, key, value = tensors()
    for given, want in (
        ((query, key, value), ["native"]),
        ((query, key, value.clone().requires_grad_()), ["autograd", "native"]),
        ((torch.nn.Parameter(query), key, value), ["autograd", "native"]),
    ):
        ways.clear()
        heedful.attend(*given, impl="cpu")
        assert ways == want
    ways.clear()
    with torch.no_grad():
        heedful.attend(query, key, value.clone().requires_grad_(), impl="cpu")
    assert ways == ["native"]
    ways.clear()
    heedful.attend(query, key, value, bias=torch.nn.Parameter(draw(7)), impl="cpu")
    assert ways == ["autograd", "native"]


def test_who_counts_or_traces_sees_an_operator(ways):
    query, key, value = tensors()
    with FlopCounterMode(display=False) as counted:
        heedful.attend(query, key, value, impl="cpu")
    assert ways == ["operator", "native"]
    # batch 2, heads 4, queries 5, keys 7, dim 3, value_dim 6: two products
    assert counted.get_total_flops() == 2 * 2 * 4 * 5 * 7 * (3 + 6)
    ways.clear()
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in (query, key, value)]
        output = heedful.attend(*fakes, mask=Mask.causal(), impl="cpu")
    assert ways == ["operator"]
    assert (output.shape, output.dtype) == ((2, 4, 5, 6), torch.float32)


class Marked(torch.Tensor):
    """A tensor that looks at what is done to it."""

    seen: list = []  # noqa: RUF012  # emptied by its test

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_tensor_of_another_kind_sees_an_operator(ways):
    query, key, value = tensors()
    Marked.seen.clear()
    output = heedful.attend(query.as_subclass(Marked), key, value, impl="cpu")
    assert "operator" in ways
    assert torch.ops.heedful.attend.default in Marked.seen or any(
        "heedful" in str(func) for func in Marked.seen
    )
    assert torch.equal(
        output.as_subclass(torch.Tensor), heedful.attend(query, key, value, impl="cpu")
    )


# ---- what it gives -------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("kernel")
def test_autocast(exact, agree, asked):
    query, key, value = tensors()
    mask, bias = Mask.lengths(torch.tensor([0, 6])), draw(5, 7)
    with torch.autocast("cpu", asked):
        output = heedful.attend(query, key.to(asked), value, mask=mask, bias=bias, impl="cpu")
    assert output.dtype == asked
    lower = [x.to(asked) for x in (query, key, value)]
    agree(output, exact(*lower, mask=mask, bias=bias)[0], 3, 7, 7)
    with torch.autocast("cpu", asked):
        leaves = [x.clone().requires_grad_() for x in (query, key, value)]
        heedful.attend(*leaves, mask=mask, impl="cpu").float().sum().backward()
    assert all(leaf.grad.dtype == torch.float32 for leaf in leaves)


@pytest.mark.usefixtures("kernel")
def test_one_mask_for_calls_of_other_sizes(exact, agree):
    mask = Mask.causal() & Mask.window(3)
    for keys in (7, 9, 7, 40):
        query, key, value = draw(2, 4, 5, 3), draw(2, 4, keys, 3, seed=2), draw(2, 4, keys, 6)
        output = heedful.attend(query, key, value, mask=mask, impl="cpu")
        agree(output, exact(query, key, value, mask=mask)[0], 3, keys, keys)
