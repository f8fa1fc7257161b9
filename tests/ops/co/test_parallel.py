"""Parallel co-attention is its definition, and treats both texts alike."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.co import parallel_attention
from heedful.testing.oracle.co import parallel
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(**changed):
    return {
        "affinity_weight": draw(4, 3, seed=3),
        "context_weight": draw(6, 3, seed=4),
        "query_weight": draw(6, 4, seed=5),
        "score_weight": draw(2, 6, seed=6),
    } | changed


def lengths(*values):
    return Mask.lengths(torch.tensor(values)), lambda b, i: i < values[b]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("contexts", [(7, 7), (4, 6), (0, 7)])
@pytest.mark.parametrize("queries", [(5, 5), (2, 4), (3, 0), (0, 5)])
def test_matches_the_oracle(contexts, queries, dtype):
    context, query = draw(2, 7, 3).to(dtype), draw(2, 5, 4, seed=2).to(dtype)
    given = {name: x.to(dtype) for name, x in weights().items()}
    (context_mask, there), (query_mask, asked) = lengths(*contexts), lengths(*queries)
    actual = parallel_attention(
        context, query, **given, context_mask=context_mask, query_mask=query_mask
    )
    arrays = {name: x.double().numpy() for name, x in given.items()}
    want = parallel(context.double().numpy(), query.double().numpy(), there, asked, **arrays)
    for one, other in zip(actual, map(torch.from_numpy, want), strict=True):
        limit = roundings(dtype, 3, 4, 5, 6, 7, 7)
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


def test_texts_may_change_places():
    context, query, given = draw(2, 7, 3), draw(2, 5, 4, seed=2), weights()
    one = parallel_attention(context, query, **given)
    other = parallel_attention(
        query,
        context,
        affinity_weight=given["affinity_weight"].T,
        context_weight=given["query_weight"],
        query_weight=given["context_weight"],
        score_weight=given["score_weight"].flip(0),
    )
    for x, y in zip(one, (other[1], other[0], other[3], other[2]), strict=True):
        assert_close(x, y, roundings=100, largest=y.abs().max().item())


def test_a_text_without_positions_leaves_the_other_to_itself():
    context, query, given = draw(2, 7, 3), draw(2, 5, 4, seed=2), weights()
    result = parallel_attention(context, query, **given, context_mask=lengths(0, 0)[0])
    assert (result.context_summary == 0).all()
    assert (result.context_weights == 0).all()
    scores = torch.tanh(query @ given["query_weight"].T) @ given["score_weight"][1]
    assert_close(result.query_weights, scores.softmax(1), roundings=50, largest=1.0)


@pytest.mark.parametrize(
    "name, shape, want",
    [
        ("affinity_weight", (3, 4), "(query_width=4, context_width=3)"),
        ("context_weight", (6, 4), "(hidden=6, context_width=3)"),
        ("query_weight", (5, 4), "(hidden=6, query_width=4)"),
        ("score_weight", (6,), "(rows=2, hidden=6)"),
    ],
)
def test_rejects_weights_that_do_not_fit(name, shape, want):
    message = f"{name} must have shape {want}, got {shape}"
    with pytest.raises(ShapeError, match=re.escape(message)):
        parallel_attention(draw(2, 7, 3), draw(2, 5, 4), **weights(**{name: torch.ones(shape)}))
