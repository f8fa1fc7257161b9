"""Coverage attention keeps the contract, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.ops import additive_weights, coverage_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestCoverage(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["coverage"]


def tensors(**changed):
    return {
        "query": torch.ones(2, 4, 1, 3),
        "key": torch.ones(2, 2, 7, 3),
        "coverage": torch.zeros(2, 4, 7),
        "coverage_weight": torch.ones(4, 3),
        "score_weight": torch.ones(4, 3),
    } | changed


def test_without_history_it_is_additive():
    given = tensors(key=torch.randn(2, 2, 7, 3, generator=torch.Generator().manual_seed(3)))
    want = additive_weights(given["query"], given["key"], score_weight=given["score_weight"])
    assert torch.equal(coverage_weights(**given), want)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"query": torch.ones(2, 4, 5, 3)},
            "query must have length 1 because coverage changes from query to query, got 5",
        ),
        (
            {"coverage": torch.ones(2, 2, 7)},
            "coverage must have shape (batch=2, heads=4, keys=7), got (2, 2, 7)",
        ),
        (
            {"coverage_weight": torch.ones(1, 3)},
            "coverage_weight must have shape (heads=4, dim=3), got (1, 3)",
        ),
        (
            {"score_weight": torch.ones(4, 6)},
            "score_weight must have shape (heads=4, dim=3), got (4, 6)",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        coverage_weights(**tensors(**changed))
