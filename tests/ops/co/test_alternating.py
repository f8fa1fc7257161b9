"""Alternating co-attention is its definition: three looks, each guided by the one before."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.co import Step, alternating_attention
from heedful.testing.oracle.co import alternating
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def steps(**changed):
    return {
        "first": Step(draw(6, 4, seed=3), draw(6, seed=4)),
        "second": Step(draw(6, 3, seed=5), draw(6, seed=6), draw(6, 4, seed=7)),
        "third": Step(draw(6, 4, seed=8), draw(6, seed=9), draw(6, 3, seed=10)),
    } | changed


def lengths(*values):
    return Mask.lengths(torch.tensor(values)), lambda b, i: i < values[b]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("contexts", [(7, 7), (4, 6), (0, 7)])
@pytest.mark.parametrize("queries", [(5, 5), (2, 4), (3, 0)])
def test_matches_the_oracle(contexts, queries, dtype):
    context, query = draw(2, 7, 3).to(dtype), draw(2, 5, 4, seed=2).to(dtype)
    given = {
        name: Step(*(None if x is None else x.to(dtype) for x in step))
        for name, step in steps().items()
    }
    (context_mask, there), (query_mask, asked) = lengths(*contexts), lengths(*queries)
    actual = alternating_attention(
        context, query, **given, context_mask=context_mask, query_mask=query_mask
    )
    arrays = [
        {name: x.double().numpy() for name, x in step._asdict().items() if x is not None}
        for step in given.values()
    ]
    want = alternating(context.double().numpy(), query.double().numpy(), there, asked, steps=arrays)
    for one, other in zip(actual, map(torch.from_numpy, want), strict=True):
        limit = roundings(dtype, 3, 4, 5, 6, 7, 7)
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


def test_the_query_guides_the_context_and_the_context_the_query():
    context, query, given = draw(2, 7, 3), draw(2, 5, 4, seed=2), steps()
    before = alternating_attention(context, query, **given)
    changed = alternating_attention(context, query + draw(4, seed=20), **given)
    assert (before.context_weights != changed.context_weights).any(1).all()
    changed = alternating_attention(context + draw(3, seed=21), query, **given)
    assert (before.query_weights != changed.query_weights).any(1).all()


def test_a_guide_of_zeros_guides_nothing():
    context, query = draw(2, 7, 3), draw(2, 5, 4, seed=2)
    given = steps()
    given["second"] = given["second"]._replace(guide=torch.zeros(6, 4).double())
    one = alternating_attention(context, query, **given)
    other = alternating_attention(context, query.flip(0) * 3, **given)
    assert torch.equal(one.context_weights, other.context_weights)


@pytest.mark.parametrize(
    "name, step, error, message",
    [
        (
            "first",
            Step(torch.ones(6, 3), torch.ones(6)),
            ShapeError,
            "first.weight must have shape (hidden=6, width=4), got (6, 3)",
        ),
        (
            "second",
            Step(torch.ones(5, 3), torch.ones(1, 5), torch.ones(5, 4)),
            ShapeError,
            "second.weight must have shape (hidden=1, width=3), got (5, 3)",
        ),
        (
            "second",
            Step(torch.ones(1, 3), torch.ones(1, 5), torch.ones(5, 4)),
            ShapeError,
            "second.score must have shape (hidden=1), got (1, 5)",
        ),
        (
            "third",
            Step(torch.ones(6, 4), torch.ones(6), torch.ones(6, 4)),
            ShapeError,
            "third.guide must have shape (hidden=6, guide_width=3), got (6, 4)",
        ),
        (
            "first",
            Step(torch.ones(6, 4), torch.ones(6), torch.ones(6, 5)),
            ConfigError,
            "first must have no guide because nothing was seen yet, got one of shape (6, 5)",
        ),
        (
            "third",
            Step(torch.ones(6, 4), torch.ones(6)),
            ConfigError,
            "third must have a guide, got none",
        ),
    ],
)
def test_rejects_steps_that_do_not_fit(name, step, error, message):
    with pytest.raises(error, match=re.escape(message)):
        alternating_attention(draw(2, 7, 3), draw(2, 5, 4), **steps(**{name: step}))
