"""Additive attention keeps the contract, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.ops import additive_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestAdditive(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["additive"]


def test_rejects_a_score_weight_that_does_not_fit():
    query = torch.zeros(2, 4, 5, 3)
    message = re.escape("score_weight must have shape (heads=4, dim=3), got (3, 4)")
    with pytest.raises(ShapeError, match=message):
        additive_weights(query, query, score_weight=torch.zeros(3, 4))
