"""Every set of pieces is asked for once, in batches, and answered as if it were alone."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.devices import device_of
from heedful.errors import DataError, ShapeError
from heedful.explaining import removal
from heedful.explaining.question import Question
from heedful.explaining.removal import KeptScores

PLACES = (0, 1, -1, 2, 2, 3, 4)


def kept_sets(sets, pieces, seed=0):
    return np.random.default_rng(seed).random((sets, pieces)) < 0.5


def test_scores_are_those_of_each_set_alone(sums, monkeypatch):
    monkeypatch.setattr(removal, "COPIES", 7)
    asked = sums(PLACES, targets=2, bend=torch.tanh)
    kept = kept_sets(40, 5)
    found = KeptScores(asked.model, asked.question).of(kept)
    for row, scores in zip(kept, found, strict=True):
        alone = asked.model(asked.question.inputs(torch.from_numpy(row[None])))[0]
        assert scores == pytest.approx(alone.tolist(), abs=1e-12)


def test_nothing_is_asked_twice(table, monkeypatch):
    monkeypatch.setattr(removal, "COPIES", 4)
    seen = []

    def note(row):
        seen.append(tuple(row))
        return [row.sum()]

    asked = table(note, 9, 1)
    scores = KeptScores(asked.model, asked.question)
    kept = kept_sets(30, 9)
    for _ in range(2):
        assert scores.of(np.concatenate([kept, kept]))[:, 0].tolist() == 2 * kept.sum(1).tolist()
    assert sorted(seen) == sorted({tuple(row) for row in kept})
    assert scores.whole().tolist() == [9]
    assert len(seen) == len({tuple(row) for row in kept}) + 1


def test_the_model_answers_as_in_evaluation_and_stays_as_it_was(sums):
    asked = sums(PLACES, targets=2)
    model = nn.Sequential(asked.model, nn.Dropout(0.5)).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    KeptScores(model, asked.question).whole()
    assert [module.training for module in model.modules()] == modes


def test_no_gradients_are_kept(sums):
    asked = sums(PLACES, targets=2)

    def scores(model, vectors):
        assert torch.is_inference_mode_enabled()
        return model(vectors)

    KeptScores(asked.model, replace(asked.question, scores=scores)).whole()


def test_rounding_is_a_few_units_of_the_largest_score(table):
    asked = table(lambda row: [-8.0 * row.sum()], 3, 1)
    scores = KeptScores(asked.model, asked.question)
    scores.whole()
    assert scores.rounding() == removal.ROUNDINGS * np.finfo(float).eps * 24


def test_a_model_without_parameters_is_on_the_cpu():
    assert device_of(nn.Identity()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")


def test_rejects_scores_of_another_shape():
    question = Question(
        pieces=("a", "b"),
        targets=("x", "y", "z"),
        inputs=lambda kept: kept,
        scores=lambda _, kept: kept.double(),
        removal="nothing",
    )
    message = "scores must be (copies, targets) = (1, 3), got (1, 2)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        KeptScores(nn.Identity(), question).whole()


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_rejects_scores_that_are_no_number(table, score):
    asked = table(lambda row: [1.0, 2.0 if row.all() else score], 2, 2)
    scores = KeptScores(asked.model, asked.question)
    assert scores.whole().tolist() == [1, 2]
    with pytest.raises(DataError, match=r"scores must be finite .* got others of '1'"):
        scores.of(np.zeros((1, 2), bool))


@pytest.mark.parametrize(
    "pieces, targets, copies",
    [(3, 1, 128), (512, 1, 128), (1024, 1, 64), (200_000, 1, 1), (3, 32, 128), (3, 256, 16)],
)
def test_long_inputs_and_answers_go_fewer_together(table, pieces, targets, copies):
    question = table(lambda row: [0.0], pieces, targets).question
    assert removal.copies_at_once(question) == copies
    assert removal.copies_at_once(question, 32) == min(32, copies)
