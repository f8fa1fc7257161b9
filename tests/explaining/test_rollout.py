"""Rollout is a product of matrices, in forward order."""

import sys
from pathlib import Path

import numpy as np
import pytest

from heedful.explaining.rollout import rollout

sys.path.insert(0, str(Path(__file__).parent))
from routed import KINDS, by_matrices, routed


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_product_of_all_maps(kind):
    asked = routed(kind)
    found = rollout(asked.model, asked.question)
    for target in range(3):
        expected = by_matrices(asked, target, lambda weights, _: weights.mean(0), 0.5, 0.5)
        np.testing.assert_allclose(found.weights[target], expected, rtol=0, atol=1e-6)
    assert expected.max() > 0.01
    assert found.error < 1e-12


@pytest.mark.parametrize("kind", ["row", "mean", "pooling"])
def test_where_all_places_are_pieces_it_sums_to_one(kind):
    asked = routed(kind)
    weights = rollout(asked.model, asked.question).weights
    markers = 1 - weights.sum(1)
    assert (weights >= 0).all()
    assert (markers > 0).all()
    assert (markers < 1).all()
