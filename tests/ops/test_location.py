"""Location-aware attention keeps the contract, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.ops import location_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract


class TestLocation(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["location"]


def tensors(**changed):
    return {
        "query": torch.ones(2, 4, 1, 3),
        "key": torch.ones(2, 2, 7, 3),
        "previous": torch.zeros(2, 4, 7),
        "kernel": torch.ones(6, 1, 5),
        "location_weight": torch.ones(4, 6, 3),
        "score_weight": torch.ones(4, 3),
    } | changed


def test_looks_around_the_last_place():
    previous = torch.zeros(2, 4, 7)
    previous[:, :, 2] = 1
    kernel = torch.ones(6, 1, 3)
    weights = location_weights(**tensors(previous=previous, kernel=kernel))[0, 0, 0]
    assert weights.topk(3).indices.sort().values.tolist() == [1, 2, 3]


def test_where_there_is_no_key_there_is_nothing_to_weigh():
    none = {"key": torch.ones(2, 2, 0, 3), "previous": torch.zeros(2, 4, 0)}
    weights = location_weights(**tensors(**none))
    assert weights.shape == (2, 4, 1, 0)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"query": torch.ones(2, 4, 5, 3)},
            "query must have length 1 because previous changes from query to query, got 5",
        ),
        (
            {"previous": torch.ones(2, 2, 7)},
            "previous must have shape (batch=2, heads=4, keys=7), got (2, 2, 7)",
        ),
        (
            {"kernel": torch.ones(6, 1, 8)},
            "kernel must have shape (filters, 1, kernel_size) with an odd kernel_size, "
            "got (6, 1, 8)",
        ),
        (
            {"location_weight": torch.ones(4, 3, 6)},
            "location_weight must have shape (heads=4, filters=6, dim=3), got (4, 3, 6)",
        ),
        (
            {"score_weight": torch.ones(1, 3)},
            "score_weight must have shape (heads=4, dim=3), got (1, 3)",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        location_weights(**tensors(**changed))
