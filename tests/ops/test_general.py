"""General attention keeps the contract, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.ops import general_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestGeneral(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["general"]


def test_rejects_a_weight_that_does_not_fit():
    query, key = torch.zeros(2, 4, 5, 3), torch.zeros(2, 2, 7, 8)
    message = re.escape("weight must have shape (heads=4, dim=3, key_dim=8), got (4, 8, 3)")
    with pytest.raises(ShapeError, match=message):
        general_weights(query, key, weight=torch.zeros(4, 8, 3))
