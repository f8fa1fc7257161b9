"""The shared tail: weights that sum to one, and nothing from queries that see nothing."""

import pytest
import torch

from heedful.mask import Mask
from heedful.ops import masked_softmax
from heedful.ops._softmax import aggregate, share_heads, widen

SOME = Mask.lengths(torch.tensor([0, 2]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_row_that_sees_nothing_gets_zero_and_gradient_zero(dtype):
    scores = torch.zeros(2, 1, 1, 3, dtype=dtype, requires_grad=True)
    weights = masked_softmax(scores, SOME)
    assert weights.dtype == dtype
    assert weights.flatten().tolist() == [0, 0, 0, 0.5, 0.5, 0]
    (weights * torch.tensor([1, 2, 4], dtype=dtype)).sum().backward()
    assert scores.grad.flatten().tolist() == [0, 0, 0, -0.25, 0.25, 0]


def test_no_nan_passes_through_the_backward_pass():
    scores = torch.zeros(2, 1, 1, 3, requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):  # raises at the first NaN, also at a hidden one
        masked_softmax(scores, SOME).square().sum().backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_hidden_scores_may_be_anything(bad):
    scores = torch.tensor([bad, bad, bad, 1.0, 1.0, bad]).view(2, 1, 1, 3).requires_grad_()
    weights = masked_softmax(scores, SOME)
    assert weights.flatten().tolist() == [0, 0, 0, 0.5, 0.5, 0]
    weights.square().sum().backward()
    assert scores.grad.isfinite().all()


def test_half_precision_is_computed_wide():
    # In float16 itself 1 + 4096 small terms would lose most of them.
    scores = torch.zeros(1, 1, 1, 4097, dtype=torch.float16)
    scores[..., 0] = 8
    want = scores.double().softmax(-1).half()
    assert torch.equal(masked_softmax(scores), want)
    assert widen(scores).dtype == torch.float32
    assert widen(scores.double()).dtype == torch.float64


def test_no_mask_is_plain_softmax():
    scores = torch.randn(2, 4, 5, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(masked_softmax(scores), scores.softmax(-1))
    assert torch.equal(masked_softmax(scores, Mask.full()), scores.softmax(-1))


def test_neighbouring_heads_share():
    x = torch.arange(2.0).view(1, 2, 1, 1)
    assert share_heads(x, 6).flatten().tolist() == [0, 0, 0, 1, 1, 1]


def test_aggregate_rounds_once():
    weights = torch.full((1, 2, 1, 3), 1 / 3)
    value = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 3, 1).bfloat16()
    output = aggregate(weights, value, torch.bfloat16)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, torch.full((1, 2, 1, 1), 7 / 3).bfloat16())
