"""Concat attention keeps the contract, is additive attention inside, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.additive import additive_attention, additive_weights
from heedful.ops.concat import concat_attention, concat_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings


class TestConcat(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["concat"]


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def tensors(**changed):
    return {
        "query": draw(2, 4, 5, 3),
        "key": draw(2, 2, 7, 8, seed=2),
        "query_weight": draw(4, 6, 3, seed=3),
        "key_weight": draw(4, 6, 8, seed=4),
        "score_weight": draw(4, 6, seed=5),
    } | changed


def test_with_projections_outside_it_is_additive_attention():
    given, value = tensors(), draw(2, 2, 7, 9, seed=6)
    mask = Mask.causal() & Mask.lengths(torch.tensor([4, 7]))
    query = given["query"] @ given["query_weight"].mT
    key = given["key"].repeat_interleave(2, 1) @ given["key_weight"].mT
    score_weight = given["score_weight"]
    want = additive_weights(query, key, score_weight=score_weight, mask=mask)
    limit = 2 * roundings(want.dtype, 3, 8, 6, 7)
    assert_close(concat_weights(**given, mask=mask), want, roundings=limit, largest=1.0)
    twice = value.repeat_interleave(2, 1)
    want = additive_attention(query, key, twice, score_weight=score_weight, mask=mask)
    actual = concat_attention(**given, value=value, mask=mask)
    assert_close(actual, want, roundings=limit, largest=value.abs().max().item())


def test_identities_leave_query_and_key_as_they_are():
    identity = torch.eye(3, dtype=torch.float64).repeat(4, 1, 1)
    given = tensors(
        key=draw(2, 2, 7, 3, seed=2),
        query_weight=identity,
        key_weight=identity,
        score_weight=draw(4, 3, seed=5),
    )
    want = additive_weights(given["query"], given["key"], score_weight=given["score_weight"])
    assert torch.equal(concat_weights(**given), want)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"query_weight": draw(4, 6, 8)},
            "query_weight must have shape (heads=4, hidden=6, dim=3), got (4, 6, 8)",
        ),
        (
            {"key_weight": draw(4, 5, 8)},
            "key_weight must have shape (heads=4, hidden=6, key_dim=8), got (4, 5, 8)",
        ),
        (
            {"score_weight": draw(2, 6)},
            "score_weight must have shape (heads=4, hidden=6), got (2, 6)",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        concat_weights(**tensors(**changed))
