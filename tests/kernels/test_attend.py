"""The door: the right kernel behind it, and no other one in place of a named one."""

import re
import warnings

import pytest
import torch

from heedful.errors import ConfigError, KernelError, KernelWarning, ShapeError, UnsupportedError
from heedful.kernels import _kernels
from heedful.kernels.attend import attend
from heedful.kernels.call import Call, Missing
from heedful.mask import Mask


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def tensors(dtype=torch.float32):
    return draw(2, 4, 5, 3, dtype=dtype), draw(2, 2, 7, 3, dtype=dtype), draw(2, 2, 7, 6).to(dtype)


def test_all_arguments_reach_the_kernel(kernels, monkeypatch):
    got = []
    monkeypatch.setattr(kernels.of["sdpa"], "run", lambda call: got.append(call) or call.query)
    query, key, value = tensors()
    mask, bias = Mask.causal(), draw(5, 7)
    attend(query, key, value, mask=mask, bias=bias, scale=0.3, dropout=0.25, impl="sdpa")
    assert all(
        a is b for a, b in zip(got[0], (query, key, value, mask, bias, 0.3, 0.25), strict=True)
    )


@pytest.mark.parametrize("name", ["cpu", "sdpa", "plain"])
def test_a_named_kernel_runs(kernels, name):
    half = tensors(torch.bfloat16)
    assert kernels.during(lambda: attend(*half, impl=name)) == [name]


def test_flex_runs_when_it_is_named(kernels, monkeypatch):
    monkeypatch.setattr(kernels.of["flex"], "kernel", kernels.of["sdpa"].kernel)
    assert kernels.during(lambda: attend(*tensors(), impl="flex")) == ["flex"]


def test_a_named_kernel_that_cannot_take_the_call_is_not_replaced(kernels):
    message = "impl='plain' must be able to run, got: scores of single precision gain nothing by it"
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        attend(*tensors(), impl="plain")
    assert kernels.ran == []


def test_a_kernel_that_this_machine_lacks_is_another_error(kernels):
    kernels.of["cpu"].refusal = Missing("it needs a C++ compiler, got none")
    message = "impl='cpu' must be able to run, got: it needs a C++ compiler, got none"
    with pytest.raises(KernelError, match=re.escape(message)):
        attend(*tensors(), impl="cpu")
    assert kernels.ran == []


def test_an_unknown_kernel_lists_the_known_ones():
    message = "impl must be one of auto, cpu, plain, flex, sdpa, got 'flash'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        attend(*tensors(), impl="flash")


@pytest.mark.parametrize("impl", ["auto", "sdpa"])
def test_the_call_is_checked_first(impl):
    query, key, _ = tensors()
    message = re.escape("key and value must have the same length, got 7 and 8")
    with pytest.raises(ShapeError, match=message):
        attend(query, key, draw(2, 2, 8, 6), impl=impl)


def test_auto_runs_what_is_faster(kernels, timed):
    found, _ = timed
    found.update(cpu=2.0, sdpa=1.0)
    assert kernels.during(lambda: attend(*tensors())) == ["sdpa"]
    found.update(cpu=1.0, sdpa=2.0)
    assert kernels.during(lambda: attend(*tensors(), mask=Mask.causal())) == ["cpu"]


def test_auto_falls_back_where_a_kernel_refuses(kernels, timed):
    found, asked = timed
    found.update(cpu=1.0, sdpa=2.0)
    assert kernels.during(lambda: attend(*tensors())) == ["cpu"]
    kernels.of["cpu"].refusal = "no"
    assert kernels.during(lambda: attend(*tensors())) == ["sdpa"]
    kernels.of["cpu"].refusal = None
    assert kernels.during(lambda: attend(*tensors())) == ["cpu"]
    assert len(asked) == 1


@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_machine_without_a_compiler_is_told_once(monkeypatch, kernels, switch):
    monkeypatch.setenv("HEEDFUL_KERNELS", switch)
    monkeypatch.setattr(_kernels, "_warned", [])
    kernels.of["cpu"].refusal = Missing("it must compile, got:\nits first words\nand more")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for length in (5, 4):
            attend(draw(2, 4, length, 3), *tensors()[1:])
    want = "attention is slower than it could be: it must compile, got: its first words"
    assert [str(x.message) for x in caught] == ([want] if switch == "on" else [])
    assert all(x.category is KernelWarning for x in caught)
    assert kernels.ran == ["sdpa", "sdpa"]


@pytest.mark.parametrize(
    "reason, told",
    [
        ("/bin/c++ must compile it, got:\n\n  a.cpp:3: error: no\nmore", "got: a.cpp:3: error: no"),
        ("it must load, got: /a.so: file too short\nmore", "got: /a.so: file too short"),
        ("it must compile, got:", "it must compile, got:"),
    ],
)
def test_the_warning_is_one_line_that_says_why(monkeypatch, kernels, reason, told):
    monkeypatch.setattr(_kernels, "_warned", [])
    kernels.of["cpu"].refusal = Missing(reason)
    with pytest.warns(KernelWarning) as caught:
        attend(*tensors())
    (words,) = [str(x.message) for x in caught]
    assert words.endswith(told)
    assert "\n" not in words


def test_a_call_that_a_kernel_refuses_is_no_reason_to_warn(kernels):
    kernels.of["cpu"].refusal = "it has no dropout"
    assert kernels.during(lambda: attend(*tensors())) == ["sdpa"]


def test_auto_takes_plain_products_for_training_in_half_precision(kernels, timed):
    found, _ = timed
    found.update(cpu=3.0, sdpa=2.0, plain=1.0)
    half = tensors(torch.bfloat16)
    assert kernels.during(lambda: attend(*half)) == ["sdpa"]
    half[1].requires_grad_()
    assert kernels.during(lambda: attend(*half)) == ["plain"]


def test_rules_are_the_same_behind_the_door(kernels):
    """Causal is aligned to the end, and a row that sees nothing gives 0 with gradient 0."""
    query, key, value = (x.requires_grad_() for x in tensors())
    output = attend(
        query, key, value, mask=Mask.causal("start") & Mask.lengths(torch.tensor([0, 7]))
    )
    assert output[0].abs().max() == 0
    assert torch.equal(output[1, :, 0], value[1].repeat_interleave(2, 0)[:, 0])
    output.sum().backward()
    assert query.grad[0].abs().max() == 0
    seen = [x.grad.clone() for x in (query, key, value)]
    assert all(grad.isfinite().all() for grad in seen)


def test_autocast_decides_the_dtype_of_the_answer(kernels):
    query, key, value = tensors()
    for impl in ("auto", "cpu", "sdpa", "plain"):
        with torch.autocast("cpu", torch.bfloat16):
            output = attend(query, key.half(), value, mask=Mask.causal(), impl=impl)
        assert output.dtype == torch.bfloat16


def test_a_graph_is_compiled_without_measuring(kernels, timed):
    _, asked = timed
    _, key, value = tensors()
    mask, bias = Mask.causal(), draw(1, 7)

    def step(x):
        return attend(x, key, value, mask=mask) + attend(x, key, value, bias=bias, scale=0.3)

    torch.compiler.reset()
    try:
        compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
        outputs = [(x, compiled(x)) for x in (draw(2, 4, 5, 3), draw(2, 4, 6, 3))]
    finally:
        torch.compiler.reset()
    assert asked == []
    for x, output in outputs:
        one = attend(x, key, value, mask=mask, impl="sdpa")
        assert torch.equal(output, one + attend(x, key, value, bias=bias, scale=0.3, impl="sdpa"))


def test_a_named_call_is_the_call(kernels):
    query, key, value = tensors()
    mask = Mask.window(3)
    want = kernels.of["sdpa"].kernel.run(Call.of(query, key, value, mask))
    assert torch.equal(attend(query, key, value, mask=mask, impl="sdpa"), want)
