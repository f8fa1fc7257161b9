"""Whoever asks whether the native kernel can take a call gets what the kernel itself would say."""

import pytest
import torch

from heedful.errors import ShapeError
from heedful.kernels.attend import attend
from heedful.kernels.cpu.build import compiler
from heedful.kernels.native import native
from heedful.mask import Mask


def tensors(dtype=torch.float32):
    shapes = ((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6))
    return [torch.ones(shape, dtype=dtype) for shape in shapes]


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_it_says_yes_where_the_kernel_runs():
    assert native(*tensors(), Mask.causal())
    assert attend(*tensors(), mask=Mask.causal(), impl="cpu").shape == (2, 4, 5, 6)


def test_it_says_no_where_it_cannot():
    assert not native(*tensors(torch.float64), None)


def test_it_says_no_where_the_kernel_is_switched_off(monkeypatch):
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    assert not native(*tensors(), None)


def test_rejects_what_does_not_fit():
    with pytest.raises(ShapeError, match="lengths must have one entry per batch row, got 3"):
        native(*tensors(), Mask.lengths(torch.tensor([1, 2, 3])))
