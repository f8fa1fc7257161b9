"""From an answer back to its input, step by step: what attention-based methods have in common."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.explaining._hops import Weigh, check_places, hops, sizes
from heedful.explaining.looks import Look, Looks
from heedful.explaining.question import NOWHERE, Question, Step


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
        rows, keys = sizes(looks, step)
        if sequence in (step.queries, step.keys):
            return rows if step.queries == sequence else keys
    raise UnsupportedError(f"a route must have a step at its answer, got none at {sequence!r}")


def _found(looks: Looks, step: Step, asked: Tensor, weigh: Weigh) -> Tensor:
    rows, keys = sizes(looks, step)
    check_places(step, asked.shape[1], rows, keys)
    found = torch.zeros(len(asked), keys)
    for hop in hops(looks, step, weigh):
        here = asked[:, hop.queries]
        if here.any():
            part = hop.weights.expand(len(asked), -1, -1)
            found.index_add_(1, hop.keys, (here[:, None] @ part)[:, 0])
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
