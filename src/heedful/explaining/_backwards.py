"""From an answer back to its input, step by step: what attention-based methods have in common."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.explaining.looks import Look, Looks
from heedful.explaining.question import NOWHERE, Question, Step

Weigh = Callable[[Look], Tensor]


class Mixture(NamedTuple):
    """How a step with a residual connection mixes.

    Args:
        kept: Factor of what looked.
        found: Factor of what it found.
    """

    kept: float
    found: float


def relevance(
    looks: Looks, question: Question, targets: Sequence[int], weigh: Weigh, mixture: Mixture
) -> Tensor:
    """Return how much each piece counts for some targets, `(targets, pieces)`.

    In forward order, what a place knows of the pieces is multiplied by a matrix for each step; as
    only the rows of the answer are wanted, the products are taken from the answer back, a vector at
    a time, and no product of two maps is ever made.

    Args:
        looks: The maps along the route.
        question: Whose pieces.
        targets: Their numbers; the maps' batch has a row for each, or one for all.
        weigh: From rows of a map to what is multiplied, `(targets or 1, rows, keys)`.
        mixture: What a step with a residual connection does.

    Raises:
        UnsupportedError: The route and what was captured do not have the same places.
    """
    counts: dict[str, Tensor] = {looks.route.answer: _at_the_answer(looks, targets)}
    for step in reversed(looks.route.steps):
        asked = counts.get(step.queries)
        if asked is None:
            continue
        found = _found(looks, step, asked, weigh)
        kept, part = mixture if step.residual else Mixture(0.0, 1.0)
        counts[step.queries] = kept * asked
        before = counts.get(step.keys)
        counts[step.keys] = part * found if before is None else before + part * found
    return _of_pieces(counts, looks.route.places, len(targets), len(question.pieces))


def mean_of_heads(look: Look) -> Tensor:
    """The weights, the heads' mean."""
    return look.weights.mean(1)


def _at_the_answer(looks: Looks, targets: Sequence[int]) -> Tensor:
    """A one where each target is read, `(targets, places)`."""
    route = looks.route
    size = _places(looks, route.answer)
    if route.rows is None:
        filled = len(route.places.get(route.answer, range(size)))  # padding stands behind
        mean = torch.zeros(len(targets), size)
        mean[:, :filled] = 1 / filled
        return mean
    rows = [route.rows[target] for target in targets]
    if not all(0 <= row < size for row in rows):
        raise UnsupportedError(
            f"targets must be read at places from 0 to {size - 1} of {route.answer}, got {rows}"
        )
    at_rows = torch.zeros(len(targets), size)
    at_rows[range(len(rows)), rows] = 1.0
    return at_rows


def _places(looks: Looks, sequence: str) -> int:
    for step in looks.route.steps:
        rows, keys = _sizes(looks, step)
        if sequence in (step.queries, step.keys):
            return rows if step.queries == sequence else keys
    raise UnsupportedError(f"a route must have a step at its answer, got none at {sequence!r}")


def _sizes(looks: Looks, step: Step) -> tuple[int, int]:
    """How many places the sequences of a step have."""
    if not step.query_places:
        return looks.size(step.site)
    rows, keys = (
        1 + max(itertools.chain(*places)) for places in (step.query_places, step.key_places)
    )
    return rows, keys


def _groups(looks: Looks, step: Step) -> list[tuple[Tensor, Tensor]]:
    """For each row of the batch that one input takes: the places of its rows and of its keys."""
    if not step.query_places:
        rows, keys = looks.size(step.site)
        return [(torch.arange(rows), torch.arange(keys))]
    pairs = zip(step.query_places, step.key_places, strict=True)
    return [(torch.tensor(rows), torch.tensor(keys)) for rows, keys in pairs]


def _found(looks: Looks, step: Step, asked: Tensor, weigh: Weigh) -> Tensor:
    rows, keys = _sizes(looks, step)
    if asked.shape[1] != rows:
        raise UnsupportedError(
            f"{step.site} must look from {asked.shape[1]} places of {step.queries}, got {rows} rows"
        )
    if step.queries == step.keys and rows != keys:
        raise UnsupportedError(
            f"{step.site} must look once from each place of {step.queries} at these places, "
            f"got {rows} rows and {keys} keys"
        )
    groups = _groups(looks, step)
    found = torch.zeros(len(asked), keys)
    for look in looks.of(step.site):
        weights = weigh(look).float().cpu().unflatten(0, (-1, len(groups)))
        for number, (places, key_places) in enumerate(groups):
            here = asked[:, places[look.rows]]
            if here.any():
                seen = key_places[: weights.shape[3]]
                part = weights[:, number, : here.shape[1], : len(seen)]
                part = part.expand(len(asked), -1, -1)
                found.index_add_(1, seen, (here[:, None] @ part)[:, 0])
    return found


def _of_pieces(
    counts: Mapping[str, Tensor], places: Mapping[str, tuple[int, ...]], targets: int, pieces: int
) -> Tensor:
    total = torch.zeros(targets, pieces + 1)  # the last one collects what is no piece
    for name, pieces_there in places.items():
        there = counts.get(name)
        if there is None:
            continue
        if there.shape[1] < len(pieces_there):
            raise UnsupportedError(
                f"{name} must have {len(pieces_there)} places, got {there.shape[1]} keys"
            )
        index = torch.tensor([pieces if piece == NOWHERE else piece for piece in pieces_there])
        total.index_add_(1, index, there[:, : len(index)])
    return total[:, :pieces]
