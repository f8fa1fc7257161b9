"""General attention keeps the contract, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.ops import general_attention, general_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract


class TestGeneral(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=general_attention,
            weights=general_weights,
            oracle=oracle.general,
            extras={"weight": "heads dim key_dim"},
            sizes={"key_dim": 8},
            key_dim="key_dim",
        )


def test_rejects_a_weight_that_does_not_fit():
    query, key = torch.zeros(2, 4, 5, 3), torch.zeros(2, 2, 7, 8)
    message = re.escape("weight must have shape (heads=4, dim=3, key_dim=8), got (4, 8, 3)")
    with pytest.raises(ShapeError, match=message):
        general_weights(query, key, weight=torch.zeros(4, 8, 3))
