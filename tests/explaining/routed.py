"""Models of which the whole route is known, and what methods say of them by whole matrices."""

from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.explaining.question import ANSWER, NOWHERE, SOURCE, TARGET, Question, Route, Step
from heedful.nn.attention import Attention
from heedful.nn.pooling import AttentionPooling
from heedful.probing.replace import replaced

WIDTH = 12
PLACES = (NOWHERE, 0, 1, 1, 2, 3, NOWHERE)  # of a source
OTHERS = (4, 5, NOWHERE, 5)  # of a second one
WRITTEN = 5


class Layers(nn.Module):
    """Attention that is added to what looked, and something that mixes no places."""

    def __init__(self, count, *, sources=0):
        super().__init__()
        self.own = nn.ModuleList(Attention(width=WIDTH, heads=3) for _ in range(count))
        self.cross = nn.ModuleList(
            nn.ModuleList(Attention(width=WIDTH, heads=2) for _ in range(sources))
            for _ in range(count)
        )

    def forward(self, x, *sources):
        for own, crosses in zip(self.own, self.cross, strict=True):
            x = x + own(x)
            for cross, source in zip(crosses, sources, strict=True):
                x = x + cross(x, source)
            x = x + x.tanh()
        return x


class Encoder(nn.Module):
    """An answer from a row, from the mean of all, or from what is pooled."""

    def __init__(self, read):
        super().__init__()
        self.encoder, self.answer = Layers(2), nn.Linear(WIDTH, 3)
        self.pooling = AttentionPooling(width=WIDTH, heads=2) if read == "pooling" else None
        self.read = read

    def forward(self, x):
        x = self.encoder(x)
        if self.pooling is not None:
            return self.answer(self.pooling(x)[:, 0])
        return self.answer(x.mean(1) if self.read == "mean" else x[:, 0])


class Writer(nn.Module):
    """A decoder over one source or two; three of what it writes are asked for."""

    rows = (0, 2, 4)

    def __init__(self, sources):
        super().__init__()
        self.encoders = nn.ModuleList(Layers(1) for _ in range(sources))
        self.decoder, self.answer = Layers(2, sources=sources), nn.Linear(WIDTH, 1)
        self.written = nn.Parameter(torch.randn(1, WRITTEN, WIDTH))

    def forward(self, *sources):
        known = [encoder(x) for encoder, x in zip(self.encoders, sources, strict=True)]
        written = self.written.expand(len(known[0]), -1, -1)
        return self.answer(self.decoder(written, *known))[:, list(self.rows), 0]


class Routed(NamedTuple):
    """A model, what is asked, and its input."""

    model: nn.Module
    question: Question
    inputs: tuple[Tensor, ...]


KINDS = ("row", "mean", "pooling", "one source", "two sources")


def routed(kind):
    """Return one of `KINDS`, in float64."""
    torch.manual_seed(0)
    places = {SOURCE: PLACES}
    if kind == "two sources":
        places["other"] = OTHERS
    if kind in ("row", "mean", "pooling"):
        model = Encoder(kind)
        own = tuple(Step(site=f"encoder.own.{layer}") for layer in range(2))
        if kind == "pooling":
            last = Step(site="pooling", queries=ANSWER, keys=SOURCE, residual=False)
            route = Route(steps=(*own, last), places=places)
        else:
            rows = (0, 0, 0) if kind == "row" else None
            route = Route(steps=own, places=places, answer=SOURCE, rows=rows)
    else:
        model = Writer(len(places))
        route = Route(steps=_written(tuple(places)), places=places, answer=TARGET, rows=Writer.rows)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=0.5)
    inputs = tuple(torch.randn(1, len(each), WIDTH).double() for each in places.values())
    return Routed(model.eval(), _question(route, inputs), inputs)


def _written(names):
    steps = [
        Step(site=f"encoders.{number}.own.0", queries=name, keys=name)
        for number, name in enumerate(names)
    ]
    for layer in range(2):
        steps.append(Step(site=f"decoder.own.{layer}", queries=TARGET, keys=TARGET))
        for number, name in enumerate(names):
            site = f"decoder.cross.{layer}.{number}"
            steps.append(Step(site=site, queries=TARGET, keys=name))
    return tuple(steps)


def _question(route, inputs):
    stands = [torch.tensor(places) for places in route.places.values()]
    pieces = 1 + max(int(each.max()) for each in stands)

    def copies(kept):
        return [
            torch.where((kept[:, at.clamp(min=0)] | (at < 0))[..., None], x, 0.0)
            for at, x in zip(stands, inputs, strict=True)
        ]

    return Question(
        pieces=tuple(map(str, range(pieces))),
        targets=("x", "y", "z"),
        inputs=copies,
        scores=lambda model, given: model(*given),
        removal="zeros",
        route=route,
    )


def stored_maps(asked, target):
    """The weights of each step, and their gradients by a target's score, of autograd."""
    kept = {}

    def mix(name, query, key, value, mask, bias=None):
        weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(-1)
        weights.retain_grad()
        kept[name] = weights
        return weights @ value

    with ExitStack() as stack:
        for step in asked.question.route.steps:
            site = asked.model.get_submodule(step.site)
            stack.enter_context(replaced(site, "mix", partial(mix, step.site)))
        asked.model(*asked.inputs)[0, target].backward()
    asked.model.zero_grad()
    return {
        name: (weights[0].detach(), torch.zeros_like(weights[0]))
        if weights.grad is None
        else (weights[0].detach(), weights.grad[0])
        for name, weights in kept.items()
    }


def by_matrices(asked, target, weigh, kept=1.0, found=1.0):
    """What each place knows of the pieces, step by step in forward order; then one row of it.

    Args:
        asked: The model and its question.
        target: The number of one.
        weigh: From weights `(heads, rows, keys)` and gradients to the matrix of a step.
        kept: Factor of what a place knows already.
        found: Factor of what it finds.
    """
    route, maps = asked.question.route, stored_maps(asked, target)
    pieces = len(asked.question.pieces)
    knows = {}
    for name, places in route.places.items():
        knows[name] = torch.zeros(len(places), pieces).double()
        for place, piece in enumerate(places):
            if piece != NOWHERE:
                knows[name][place, piece] = 1.0
    for step in route.steps:
        matrix = weigh(*maps[step.site])
        before = knows.get(step.queries, torch.zeros(len(matrix), pieces).double())
        new = matrix @ knows.get(step.keys, torch.zeros(matrix.shape[1], pieces).double())
        knows[step.queries] = kept * before + found * new if step.residual else new
    rows = knows[route.answer]
    if route.rows is None:
        return rows.mean(0).numpy()
    return rows[route.rows[target]].numpy()
