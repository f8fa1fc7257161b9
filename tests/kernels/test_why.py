"""What is said about a choice is what happens."""

import re

import pytest
import torch

from heedful.errors import ConfigError, UnsupportedError
from heedful.kernels import _kernels
from heedful.kernels.attend import attend
from heedful.kernels.call import Missing
from heedful.kernels.cpu.isa import chosen
from heedful.kernels.why import Why, why
from heedful.mask import Mask


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def tensors(dtype=torch.float32, gradient=False):
    shapes = (2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)
    return [draw(*shape, dtype=dtype).requires_grad_(gradient) for shape in shapes]


def test_a_measured_choice_tells_all_times(timed):
    timed[0].update(cpu=0.0031, sdpa=0.01221)
    assert str(why(*tensors())).splitlines() == [
        f"cpu    runs: native kernel, {chosen()}; 3.1 ms measured, sdpa 12.2 ms",
        "plain  not: scores of single precision gain nothing by it",
        "flex   not: on CPU only when asked for by name, because it compiles for seconds",
        "sdpa   not: 12.2 ms measured",
    ]


def test_a_slower_native_kernel_is_among_the_others(timed):
    timed[0].update(cpu=3e-3, plain=2e-3, sdpa=1e-3)
    assert why(*tensors(torch.bfloat16, gradient=True)) == Why(
        "sdpa",
        "torch's own kernel; 1 ms measured, cpu 3 ms, plain 2 ms",
        (
            ("cpu", "3 ms measured"),
            ("plain", "2 ms measured"),
            ("flex", "FlexAttention has no backward pass on CPU"),
        ),
    )


def test_a_kernel_that_failed(timed):
    timed[0].update(cpu=None, sdpa=1e-3)
    found = why(*tensors())
    assert found.reason == "torch's own kernel; 1 ms measured"
    assert found.others[0] == ("cpu", "it failed when it was measured")


def test_the_only_one(monkeypatch, kernels, timed):
    monkeypatch.setattr(_kernels, "_warned", ["told before"])
    kernels.of["cpu"].refusal = Missing("no C++ compiler")
    found = why(*tensors())
    assert (found.chosen, found.reason) == ("sdpa", "torch's own kernel, the only one that can")
    assert found.others[0] == ("cpu", "no C++ compiler")
    assert type(found.others[0][1]) is str
    assert timed[1] == []


def test_where_nothing_is_measured(timed):
    found = why(*tensors(), dropout=0.5)
    assert found.chosen == "cpu"
    assert "; nothing is measured with dropout" in found.reason
    reason = "it can, but cpu comes first where nothing is measured"
    assert found.others[-1] == ("sdpa", reason)


def test_a_kernel_asked_for_by_name(timed):
    found = why(*tensors(), impl="sdpa")
    assert (found.chosen, found.reason) == ("sdpa", "torch's own kernel, asked for by name")
    assert found.others == tuple(
        (x, "sdpa was asked for by name") for x in ("cpu", "plain", "flex")
    )
    assert timed[1] == []


@pytest.mark.parametrize(
    "impl, error, message",
    [
        ("plain", UnsupportedError, "impl='plain' must be able to run, got: scores of single"),
        ("fast", ConfigError, "impl must be one of auto, cpu, plain, flex, sdpa, got 'fast'"),
    ],
)
def test_raises_what_attend_raises(kernels, impl, error, message):
    for function in (why, attend):
        with pytest.raises(error, match=re.escape(message)):
            function(*tensors(), impl=impl)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("refusal", [None, "no"])
@pytest.mark.parametrize(
    "times", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0), (1.0, None, 2.0)]
)
def test_agrees_with_attend(monkeypatch, kernels, timed, static, refusal, times):
    timed[0].update(zip(("cpu", "plain", "sdpa"), times, strict=True))
    kernels.of["cpu"].refusal = refusal
    if static:
        monkeypatch.setenv("HEEDFUL_CHOICE", "static")
    settings = [{}, {"mask": Mask.causal()}, {"bias": draw(5, 7), "scale": 0.3}, {"dropout": 0.5}]
    settings += [{"impl": "sdpa"}, {"mask": Mask.lengths(torch.tensor([0, 7]))}]
    for some in settings:
        for dtype in (torch.float32, torch.bfloat16):
            for gradient in (False, True):
                given = tensors(dtype, gradient)
                ran = kernels.during(lambda given=given, some=some: attend(*given, **some))
                found = why(*given, **some)
                assert [found.chosen] == ran
                assert {found.chosen, *(name for name, _ in found.others)} == set(kernels.of)


def test_runs_no_kernel_for_the_call_itself(kernels, timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    assert kernels.during(lambda: why(*tensors())) == []
