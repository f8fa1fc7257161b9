"""Integrated gradients: closed forms, completeness, and Captum's numbers."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining import removal
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.question import NOWHERE, Question
from heedful.testing.planted_evidence import BLANK, plant_evidence

PLACES = (0, 1, -1, 2, 2, 3)


@pytest.mark.parametrize("steps", [1, 5])
def test_of_a_sum_it_is_what_each_piece_adds(sums, steps):
    asked = sums(PLACES, targets=3)
    found = integrated_gradients(asked.model, asked.question, steps=steps).weights
    assert found == pytest.approx(asked.worth, abs=1e-12)


def test_of_a_square_it_is_the_share_of_each_piece(sums):
    # on a straight way f(a) = (b + a s)^2 has the integral (b + s / 2) 2 s, by pieces as s is
    asked = sums(PLACES, targets=2, bend=torch.square)
    nothing = asked.question.inputs(torch.zeros(1, 4, dtype=torch.bool))
    start = asked.model.odds(nothing.flatten(1))[0].detach().numpy()
    slope = 2 * start + asked.worth.sum(1)
    found = integrated_gradients(asked.model, asked.question, steps=2).weights
    assert found == pytest.approx(asked.worth * slope[:, None], rel=1e-10)


def test_pieces_add_up_to_the_difference(sums, monkeypatch):
    monkeypatch.setattr(removal, "COPIES", 10)
    asked = sums(PLACES, targets=3, bend=lambda x: torch.tanh(x / 4))
    ends = asked.question.inputs(torch.tensor([[False] * 4, [True] * 4]))
    first, last = asked.model(ends).detach().numpy()
    errors = [
        abs(
            integrated_gradients(asked.model, asked.question, steps=steps).weights.sum(1)
            - (last - first)
        )
        for steps in (2, 32)
    ]
    assert errors[1].max() < 1e-9 < errors[0].max()


class Picture(nn.Module):
    """Cells of an image, channels first, and a number of all of them."""

    def __init__(self):
        super().__init__()
        self.cells = nn.Conv2d(1, 4, kernel_size=2, stride=2, dtype=torch.float64)
        self.answer = nn.Linear(4 * 2 * 3, 2, dtype=torch.float64)

    def forward(self, images):
        return self.answer(self.cells(images).flatten(1))


def test_vectors_may_be_the_second_axis():
    torch.manual_seed(0)
    model = Picture()
    image = torch.randn(1, 1, 4, 6).double()

    def inputs(kept):
        cells = kept.view(-1, 1, 2, 3).repeat_interleave(2, 2).repeat_interleave(2, 3)
        return image * cells

    question = Question(
        pieces=tuple("abcdef"),
        targets=("x", "y"),
        inputs=inputs,
        scores=lambda model, images: model(images),
        removal="black",
        embedding="cells",
        embedded=(5, 4, 3, 2, 1, 0),
        channels_first=True,
    )
    found = integrated_gradients(model, question, steps=1).weights
    each = torch.eye(6, dtype=torch.bool)
    nothing = model(inputs(torch.zeros(1, 6, dtype=torch.bool)))
    expected = (model(inputs(each)) - nothing).T.detach().numpy()
    assert found[:, ::-1] == pytest.approx(expected, abs=1e-12)


def test_what_is_no_piece_is_that_of_the_whole_input():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Identity()

        def forward(self, vectors):
            return self.embedding(vectors).prod(1)

    question = Question(
        pieces=("a",),
        targets=("x",),
        inputs=lambda kept: torch.where(kept[..., None], torch.tensor([[[3.0], [2.0]]]), 1.0),
        scores=lambda model, vectors: model(vectors),
        removal="1",
        embedding="embedding",
        embedded=(NOWHERE, 0),
    )
    found = integrated_gradients(Product(), question, steps=4).weights
    assert found.tolist() == [[pytest.approx(3 * 2)]]  # the first stays 3, the second began at 0


@pytest.mark.parametrize("padded", [3, 8])
def test_where_an_input_closes_up_the_way_begins_with_zeros(padded):
    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 2, padding_idx=0, dtype=torch.float64)

        def forward(self, words):
            return self.embedding(words).sum((1, 2))[:, None]

    torch.manual_seed(0)
    model, words = Total(), torch.tensor([8, 3, 5, 7])

    def inputs(kept):
        stays = torch.cat([torch.tensor([True]), kept[0], torch.tensor([True])])
        row = words[stays]
        row = torch.cat([row, row.new_zeros(max(0, padded - len(row)))])
        return row[None].repeat(len(kept), 1)

    question = Question(
        pieces=("a", "b"),
        targets=("x",),
        inputs=inputs,
        scores=lambda model, words: model(words),
        removal="left out",
        embedding="embedding",
        embedded=(NOWHERE, 0, 1, NOWHERE),
    )
    expected = model.embedding.weight[words[1:3]].sum(1).tolist()
    assert integrated_gradients(model, question).weights.tolist() == [pytest.approx(expected)]


def test_captum_finds_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captum = pytest.importorskip("captum.attr")
    planted = plant_evidence(seed=3)
    words = torch.arange(1, 31)[None]
    of_captum = captum.LayerIntegratedGradients(planted.model, planted.model.embedding)
    expected = of_captum.attribute(
        words, torch.full_like(words, BLANK), target=0, n_steps=16, method="gausslegendre"
    )
    found = integrated_gradients(planted.model, planted.question, steps=16).weights
    band = 1e-5 * np.abs(found).max()  # both in float32, in other orders
    np.testing.assert_allclose(found, expected.sum(-1).detach().numpy(), rtol=0, atol=band)


def test_the_model_stays_as_it_was(sums):
    asked = sums(PLACES, targets=2)
    asked.model.train()
    integrated_gradients(asked.model, asked.question, steps=2)
    assert asked.model.training
    assert not asked.model.embedding._forward_hooks
    assert all(parameter.grad is None for parameter in asked.model.parameters())


def test_only_the_first_call_with_these_places_is_taken():
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 2, dtype=torch.float64)

        def forward(self, words):
            other = self.embedding(torch.zeros(len(words), 4, dtype=torch.long))
            first = self.embedding(words)
            again = self.embedding(torch.ones_like(words))
            return (other.mean() + (first - again).sum((1, 2)))[:, None]

    torch.manual_seed(0)
    model = Once()
    question = Question(
        pieces=("a", "b", "c"),
        targets=("x",),
        inputs=lambda kept: torch.where(kept, torch.tensor([2, 3, 4]), 1),
        scores=lambda model, words: model(words),
        removal="1",
        embedding="embedding",
        embedded=(0, 1, 2),
    )
    sums_of = model.embedding.weight.detach().sum(1)
    found = integrated_gradients(model, question, steps=1).weights
    assert found[0] == pytest.approx((sums_of[2:] - sums_of[1]).numpy(), abs=1e-12)


def test_rejects_what_it_cannot_follow(sums):
    asked = sums(PLACES, targets=2)
    with pytest.raises(ConfigError, match="steps must be at least 1, got 0"):
        integrated_gradients(asked.model, asked.question, steps=0)
    other = replace(asked.question, embedded=(0, 1, 2, 3, 3, 3, 3))
    with pytest.raises(ConfigError, match=r"embedding must give vectors of 7 places, got \[6\]"):
        integrated_gradients(asked.model, other)
    none = replace(asked.question, embedding="")
    with pytest.raises(UnsupportedError, match=r"must name an embedding .* got none; occlusion"):
        integrated_gradients(asked.model, none)
