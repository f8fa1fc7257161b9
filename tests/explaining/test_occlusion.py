"""Occlusion of sums is what each piece adds, and of anything else the score without it."""

import numpy as np
import pytest

from heedful.explaining.occlusion import occlusion


def test_it_is_what_each_piece_adds_to_a_sum(sums):
    asked = sums((0, 1, -1, 2, 2, 3), targets=3)
    found = occlusion(asked.model, asked.question).weights
    assert found.shape == (3, 4)
    assert found == pytest.approx(asked.worth, abs=1e-12)


def test_it_is_the_score_without_one_piece(table):
    def scores(kept):
        weights = np.arange(1, 7) * kept
        return [np.tanh(weights.sum() - 15), weights.max(initial=0) ** 2]

    asked = table(scores, 6, 2)
    found = occlusion(asked.model, asked.question).weights
    whole = np.ones(6, bool)
    for piece in range(6):
        without = whole.copy()
        without[piece] = False
        expected = np.subtract(scores(whole), scores(without))
        assert found[:, piece] == pytest.approx(expected, abs=1e-12)


def test_pieces_that_stand_in_for_each_other_seem_to_count_for_nothing(table):
    asked = table(lambda kept: [float(kept[0] or kept[1])], 4, 1)
    assert occlusion(asked.model, asked.question).weights.tolist() == [[0, 0, 0, 0]]
