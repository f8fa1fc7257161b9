"""The native kernel for any instruction set of this CPU, and attention in float64 beside it."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.kernels.cpu import build, native
from heedful.mask import Mask
from heedful.testing.tolerance import assert_close, roundings


@pytest.fixture
def kernel(loaded):
    """The native kernel, loaded."""
    return loaded(native.library)


@pytest.fixture
def use(monkeypatch, kernel):
    """Let the native kernel be the one for an instruction set."""

    def choose(isa: str) -> None:
        if isa not in build.supported():
            pytest.skip(f"this CPU has no {isa}")
        monkeypatch.setattr(build, "load", functools.partial(build.load, isa))
        monkeypatch.setattr(native, "_library", [])
        native.library()

    return choose


@pytest.fixture
def threads():
    """Set the number of threads; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def agree():
    """Assert that a tensor is what it should be, up to the rounding of sums of so many terms."""

    def check(actual: Tensor, want: Tensor, *terms: int, largest: float | None = None) -> None:
        actual, want = actual.detach(), want.detach()
        assert actual.shape == want.shape
        if largest is None:
            largest = float(want.masked_fill(want.isinf(), 0.0).abs().max())
        assert_close(actual, want, roundings=roundings(actual.dtype, *terms), largest=largest)

    return check


@pytest.fixture
def exact():
    """`exact(query, key, value, mask=..., bias=..., scale=...)`: output and logarithms, in float64,
    by plain operations that torch can differentiate."""
    return _exact


def _exact(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Mask | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    batch, heads, queries, dim = query.shape
    keys, groups = key.shape[2], heads // key.shape[1]
    given: Any = None
    if mask is not None:
        given = mask.to_bool(queries, keys, batch=batch, heads=heads)
    visible = torch.ones(1, 1, 1, 1, dtype=torch.bool) if given is None else given
    visible = visible.expand(batch, heads, queries, keys)
    key, value = (x.double().repeat_interleave(groups, 1) for x in (key, value))
    scores = query.double() @ key.mT * (dim**-0.5 if scale is None else scale)
    scores = scores if bias is None else scores + bias.double()
    empty = ~visible.any(-1, keepdim=True)
    scores = scores.masked_fill(~(visible | empty), -torch.inf)
    weights = scores.softmax(-1).masked_fill(empty, 0.0)
    sums = scores.logsumexp(-1).masked_fill(empty.squeeze(-1), -torch.inf)
    return weights @ value, sums
