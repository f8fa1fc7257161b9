"""Questions to models whose every answer can be computed by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.explaining.question import Question

WIDTH = 3


class Sums(nn.Module):
    """Scores that are sums over places, and, where asked for, bent: an embedding and one layer."""

    def __init__(self, places, targets, *, bend=None):
        super().__init__()
        self.embedding = nn.Identity()
        self.odds = nn.Linear(places * WIDTH, targets, dtype=torch.float64)
        self.bend = bend or (lambda x: x)

    def forward(self, vectors):
        return self.bend(self.odds(self.embedding(vectors).flatten(1)))


@pytest.fixture
def sums():
    """Ask a model of sums: `sums(places, targets)` with the piece at each place."""

    def ask(places, *, targets, bend=None, seed=0):
        generator = torch.Generator().manual_seed(seed)
        model = Sums(len(places), targets, bend=bend).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
        shape = (len(places), WIDTH)
        whole, gone = (torch.randn(shape, generator=generator).double() for _ in range(2))
        stands = torch.tensor(places)
        gone[stands < 0] = whole[stands < 0]

        def inputs(kept):
            there = kept[:, stands.clamp(min=0)] | (stands < 0)
            return torch.where(there[..., None], whole, gone)

        question = Question(
            pieces=tuple(f"piece {number}" for number in range(max(places) + 1)),
            targets=tuple(f"target {number}" for number in range(targets)),
            inputs=inputs,
            scores=lambda model, vectors: model(vectors),
            removal="other numbers",
            embedding="embedding",
            embedded=tuple(places),
        )
        per_place = (model.odds.weight.detach().view(targets, *shape) * (whole - gone)).sum(-1)
        worth = np.zeros((targets, max(places) + 1))
        for place, piece in enumerate(places):
            if piece >= 0:
                worth[:, piece] += per_place[:, place].numpy()
        return SimpleNamespace(model=model, question=question, worth=worth)

    return ask


@pytest.fixture
def table():
    """Ask a model that looks its answer up: `table(function, pieces, targets)`."""

    def ask(function, pieces, targets):
        def scores(_model, kept):
            rows = [function(row) for row in kept.numpy()]
            return torch.tensor(np.array(rows), dtype=torch.float64).view(len(kept), targets)

        question = Question(
            pieces=tuple(map(str, range(pieces))),
            targets=tuple(map(str, range(targets))),
            inputs=lambda kept: kept,
            scores=scores,
            removal="nothing",
        )
        return SimpleNamespace(model=nn.Identity(), question=question)

    return ask
