"""The strongest paths from targets through heads to pieces, without a look at all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from heedful.explaining._hops import check_places, hops, sizes
from heedful.explaining.looks import Look, Looks
from heedful.explaining.question import NOWHERE

ROWS = 16  # of a map that are searched together


class Through(NamedTuple):
    """One head that a path goes through.

    Args:
        step: Number of the step of the route.
        head: Number of the head.
        query: The place that looks.
        key: The place that is looked at.
    """

    step: int
    head: int
    query: int
    key: int


@dataclass(frozen=True)
class Path:
    """A way from a place to a piece: what its weights multiply to."""

    value: float
    piece: int
    heads: tuple[Through, ...] = ()


def strongest(looks: Looks, target: int, number: int, count: int) -> list[Path]:
    """Return the strongest paths of a target: what each place knows of the pieces, step by step.

    Args:
        looks: The maps along the route, with gradients.
        target: Its number.
        number: Of its row in the maps.
        count: How many, those through no head not counted.
    """
    route = looks.route
    known: dict[str, list[list[Path]]] = {}
    for name, places in route.places.items():
        known[name] = [[] if p == NOWHERE else [Path(1.0, p)] for p in places]
    more = count + 1  # the way through no head is none, and would take a room

    def weigh(each: Look) -> Tensor:
        return (each.gradients * each.weights).clamp(min=0) / each.weights.shape[1]

    for index, step in enumerate(route.steps):
        rows, keys = sizes(looks, step)
        before = _filled(known.get(step.queries, []), rows)
        seen = _filled(known.get(step.keys, []), keys)
        check_places(step, len(before), rows, keys)
        after = [list(each) for each in before] if step.residual else [[] for _ in before]
        for hop in hops(looks, step, weigh):
            weights = hop.weights[number if len(hop.weights) > 1 else 0]
            for part, places in zip(
                weights.split(ROWS, dim=1), hop.queries.split(ROWS), strict=True
            ):
                for place, paths in _through(part, places, hop.keys, seen, index, more):
                    after[place] += paths
        known[step.queries] = [sorted(each, key=lambda p: -p.value)[:more] for each in after]
    at_the_answer = known[route.answer]
    if route.rows is not None:
        ends = at_the_answer[route.rows[target]]
    else:
        share = 1 / len(route.places.get(route.answer, at_the_answer))
        ends = [Path(p.value * share, p.piece, p.heads) for each in at_the_answer for p in each]
    through = [each for each in ends if each.heads and each.value > 0]
    return sorted(through, key=lambda p: -p.value)[:count]


def _through(
    weights: Tensor, places: Tensor, keys: Tensor, seen: list[list[Path]], index: int, most: int
) -> Iterator[tuple[int, list[Path]]]:
    """The strongest paths from places, `(heads, places, keys)`, through one of the heads."""
    values = torch.zeros(len(keys), most)
    for row, key in enumerate(keys.tolist()):
        for rank, path in enumerate(seen[key]):
            values[row, rank] = path.value
    products = (weights[..., None] * values).movedim(1, 0)  # places, heads, keys, paths
    heads, size = products.shape[1], products[0].numel()
    best, where = products.flatten(1).topk(min(most, size), dim=1)
    for row, place in enumerate(places.tolist()):
        found: list[Path] = []
        for value, at in zip(best[row].tolist(), where[row].tolist(), strict=True):
            if value > 0:
                head, key, rank = np.unravel_index(at, (heads, len(keys), most))
                there = int(keys[key])
                path = seen[there][rank]
                hop = Through(index, int(head), place, there)
                found.append(Path(value, path.piece, (hop, *path.heads)))
        yield place, found


def _filled(known: list[list[Path]], places: int) -> list[list[Path]]:
    return known + [[] for _ in range(places - len(known))]
