"""Bidirectional attention flow is its definition, with the two directions that it has."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.co import bidaf_attention
from heedful.testing.oracle.co import bidaf
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lengths(*values):
    return Mask.lengths(torch.tensor(values)), lambda b, i: i < values[b]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("contexts", [(7, 7), (4, 6), (0, 7)])
@pytest.mark.parametrize("queries", [(5, 5), (2, 4), (3, 0), (0, 5)])
def test_matches_the_oracle(contexts, queries, dtype):
    context, query, weight = (
        x.to(dtype) for x in (draw(2, 7, 3), draw(2, 5, 3, seed=2), draw(3, 3, seed=3))
    )
    (context_mask, there), (query_mask, asked) = lengths(*contexts), lengths(*queries)
    actual = bidaf_attention(
        context, query, score_weight=weight, context_mask=context_mask, query_mask=query_mask
    )
    arrays = [x.double().numpy() for x in (context, query)]
    want = bidaf(*arrays, there, asked, score_weight=weight.double().numpy())
    for one, other in zip(actual, map(torch.from_numpy, want), strict=True):
        limit = roundings(dtype, 9, 5, 7)
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


def test_weights_sum_to_one_of_what_exists():
    (context_mask, _), (query_mask, _) = lengths(4, 6), lengths(2, 5)
    _, over_query, over_context = bidaf_attention(
        draw(2, 7, 3),
        draw(2, 5, 3, seed=2),
        score_weight=draw(3, 3, seed=3),
        context_mask=context_mask,
        query_mask=query_mask,
    )
    here = torch.arange(7) < torch.tensor([[4], [6]])
    assert_close(over_context.sum(1), torch.ones(2), roundings=50, largest=1.0)
    assert_close(over_query.sum(2), here.double(), roundings=50, largest=1.0)
    assert (over_context[~here] == 0).all()
    assert (over_query[0, :, 2:] == 0).all()
    assert (over_query >= 0).all()


def test_without_a_query_only_the_context_is_left():
    context, query = draw(2, 7, 3), draw(2, 5, 3, seed=2)
    mask, _ = lengths(0, 5)
    output, over_query, over_context = bidaf_attention(
        context, query, score_weight=draw(3, 3, seed=3), query_mask=mask
    )
    assert torch.equal(output[0, :, :3], context[0])
    assert (output[0, :, 3:] == 0).all()
    assert (over_query[0] == 0).all()
    assert (over_context[0] == 0).all()
    assert output[1, :, 3:].abs().min() > 0


def test_nothing_of_the_size_of_all_pairs_times_the_width_is_made():
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Watch():
        bidaf_attention(draw(1, 50, 64), draw(1, 40, 64, seed=2), score_weight=draw(3, 64))
    assert largest == 50 * 4 * 64  # the output itself; all pairs times the width are ten times that


@pytest.mark.parametrize(
    "query, weight, message",
    [
        (
            torch.ones(2, 5, 4),
            torch.ones(3, 3),
            "context and query must have the same width, got 3 and 4",
        ),
        (
            torch.ones(2, 5, 3),
            torch.ones(9),
            "score_weight must have shape (rows=3, width=3), got (9,)",
        ),
    ],
)
def test_rejects_what_does_not_fit(query, weight, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        bidaf_attention(torch.ones(2, 7, 3), query, score_weight=weight)
