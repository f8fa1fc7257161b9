"""Paths at random, and what cutting a path does to the score of its target."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from heedful.devices import device_of
from heedful.explaining._hops import groups_of, hops, sizes
from heedful.explaining._search import Path, Through
from heedful.explaining.looks import Looks
from heedful.explaining.question import NOWHERE, Question, Step
from heedful.explaining.removal import copies_at_once
from heedful.probing.edits import Edge, cut


class Drawing:
    """Random paths through the same steps: any head, any place that it sees.

    Args:
        looks: The maps.
        target: From where it is read the paths go.
        random: What draws.
    """

    def __init__(self, looks: Looks, target: int, random: np.random.Generator) -> None:
        self._looks, self._random, self._target = looks, random, target
        self._seen: dict[int, Tensor] = {}

    def like(self, path: Path) -> tuple[Through, ...]:
        """Return a path through as many heads; an empty one where there is none."""
        route = self._looks.route
        if route.rows is None:
            place = path.heads[0].query
        else:
            place = route.rows[self._target]
        ways: list[Through] = []
        for number, through in enumerate(path.heads):
            step = route.steps[through.step]
            seen = self._of(through.step)[:, place]
            if number == len(path.heads) - 1 and step.keys in route.places:
                pieces = torch.tensor(route.places[step.keys]) != NOWHERE
                seen = seen[:, : len(pieces)] & pieces[: seen.shape[1]]
            choices = seen.nonzero()
            if not len(choices):
                return ()
            head, key = choices[self._random.integers(len(choices))].tolist()
            ways.append(Through(through.step, head, place, key))
            place = key
        return tuple(ways)

    def _of(self, index: int) -> Tensor:
        """Which keys each place sees, `(heads, rows, keys)`."""
        if index not in self._seen:
            step = self._looks.route.steps[index]
            rows, keys = sizes(self._looks, step)
            seen = torch.zeros(self._looks.heads(step.site), rows, keys, dtype=torch.bool)
            for hop in hops(self._looks, step, lambda each: each.weights):
                places = hop.queries[:, None], hop.keys
                seen[:, *places] |= hop.weights[0] > 0
            self._seen[index] = seen
        return self._seen[index]


def drops(
    model: nn.Module,
    question: Question,
    looks: Looks,
    ways: Sequence[tuple[int, tuple[Through, ...]]],
) -> list[float]:
    """Return by how much the score of each target falls without the weights on its way."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        found: list[float] = []
        size = copies_at_once(question)
        for start in range(0, len(ways), size):
            some = ways[start : start + size]
            kept = torch.ones(
                1 + len(some), len(question.pieces), dtype=torch.bool, device=device_of(model)
            )
            edges = [
                edge for copy, (_, way) in enumerate(some, 1) for edge in _edges(looks, way, copy)
            ]
            with cut(model, edges):
                scores = question.scores(model, question.inputs(kept))
            found += [
                float(scores[0, target] - scores[copy, target])
                for copy, (target, _) in enumerate(some, 1)
            ]
        return found
    finally:
        for module, training in modes:
            module.training = training


def _edges(looks: Looks, way: tuple[Through, ...], copy: int) -> Iterator[Edge]:
    for through in way:
        step = looks.route.steps[through.step]
        groups = groups_of(looks, step)
        for number, (queries, keys) in enumerate(groups):
            rows = (queries == through.query).nonzero()[:, 0].tolist()
            columns = (keys == through.key).nonzero()[:, 0].tolist()
            for row in rows[:1]:
                for key in columns[:1]:
                    call, inside = _call(looks, step, row)
                    batch = copy * len(groups) + number
                    yield Edge(step.site, call, batch, through.head, inside, key)


def _call(looks: Looks, step: Step, row: int) -> tuple[int, int]:
    """In which call of a site a row is, and where there."""
    if step.call is not None:
        return step.call, row
    starts = np.cumsum([0, *looks.calls(step.site)])
    call = int(np.searchsorted(starts, row, side="right")) - 1
    return call, row - int(starts[call])
