"""Planted evidence: the model says what the words mean, and a known map says which do."""

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError
from heedful.explaining.occlusion import occlusion
from heedful.testing.planted_evidence import BLANK, plant_evidence


@pytest.mark.parametrize("seed", range(5))
def test_the_strongest_words_decide(seed):
    planted = plant_evidence(seed=seed, pieces=24, evidence=4)
    (weights,) = planted.weights
    (falls,) = occlusion(planted.model, planted.question).weights
    assert (weights >= 1).sum() == 4
    assert {*np.argsort(-falls)[:4]} == {*np.flatnonzero(weights >= 1)}
    assert {*np.argsort(falls)[:4]} == {*np.flatnonzero(weights <= -0.5)}


def test_words_that_are_removed_are_blank():
    question = plant_evidence(pieces=4, evidence=1).question
    kept = torch.tensor([[True, False, True, True], [False] * 4])
    assert question.inputs(kept).tolist() == [[1, BLANK, 3, 4], [BLANK] * 4]


def test_the_seed_decides():
    first, again, other = (plant_evidence(seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)
    assert torch.equal(first.model(torch.arange(31)[None]), again.model(torch.arange(31)[None]))


@pytest.mark.parametrize("evidence", [0, 3])
def test_rejects_evidence_that_has_no_room(evidence):
    with pytest.raises(ConfigError, match=f"evidence must be in 1 to 2, got {evidence}"):
        plant_evidence(pieces=5, evidence=evidence)
