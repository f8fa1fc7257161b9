"""Steps of a route between places of sequences, whatever rows and calls their maps come in."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.explaining.looks import Look, Looks
from heedful.explaining.question import Step

Weigh = Callable[[Look], Tensor]


class Hop(NamedTuple):
    """Some rows of what a step looked at.

    Args:
        queries: The place of each row, of the sequence that looks.
        keys: The place of each key, of the sequence that is looked at.
        weights: `(targets or 1, ..., rows, keys)`.
    """

    queries: Tensor
    keys: Tensor
    weights: Tensor


def hops(looks: Looks, step: Step, weigh: Weigh) -> Iterator[Hop]:
    """Go through the maps of a step.

    Args:
        looks: The maps.
        step: Of their route.
        weigh: From rows of a map to what is wanted, `(batch, ..., rows, keys)`.
    """
    groups = groups_of(looks, step)
    for look in looks.of(step.site, step.call):
        weights = weigh(look).float().cpu().unflatten(0, (-1, len(groups)))
        for number, (places, keys) in enumerate(groups):
            queries, keys = places[look.rows], keys[: weights.shape[-1]]
            yield Hop(queries, keys, weights[:, number, ..., : len(queries), : len(keys)])


def sizes(looks: Looks, step: Step) -> tuple[int, int]:
    """Return how many places the sequences of a step have: of those that look, and the others."""
    if not step.query_places:
        return looks.size(step.site, step.call)
    rows, keys = (
        1 + max(itertools.chain(*places)) for places in (step.query_places, step.key_places)
    )
    return rows, keys


def groups_of(looks: Looks, step: Step) -> list[tuple[Tensor, Tensor]]:
    """For each row of the batch that one input takes: the places of its rows and of its keys."""
    if not step.query_places:
        rows, keys = looks.size(step.site, step.call)
        return [(torch.arange(rows), torch.arange(keys))]
    pairs = zip(step.query_places, step.key_places, strict=True)
    return [(torch.tensor(rows), torch.tensor(keys)) for rows, keys in pairs]


def check_places(step: Step, places: int, rows: int, keys: int) -> None:
    """Check that a step looks from as many places as its sequence has.

    Raises:
        UnsupportedError: It does not.
    """
    if places != rows:
        raise UnsupportedError(
            f"{step.site} must look from {places} places of {step.queries}, got {rows} rows"
        )
    if step.queries == step.keys and rows != keys:
        raise UnsupportedError(
            f"{step.site} must look once from each place of {step.queries} at these places, "
            f"got {rows} rows and {keys} keys"
        )
