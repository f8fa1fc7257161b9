"""A map as an order of its pieces, and the same map with its values dealt out at random."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heedful.explaining.removal import KeptScores

Ranks = NDArray[np.intp]


def ranks_of(weights: NDArray[np.float64], random: np.random.Generator) -> Ranks:
    """Return the place of each piece, 0 for the largest weight; ties are broken at random."""
    order = np.lexsort((random.random(weights.shape), -weights), axis=-1)
    return np.argsort(order, axis=-1)


def dealt_out(ranks: Ranks, draws: int, random: np.random.Generator) -> Ranks:
    """Return `(draws, targets, pieces)`: the pieces change places, in each draw alike for all
    targets.

    Targets keep what they have in common: were each dealt out by itself, random maps of targets
    that look at the same pieces would vary less than the map, and wrong maps would stand out.
    """
    places = np.tile(np.arange(ranks.shape[1]), (draws, 1))
    return np.moveaxis(ranks[:, random.permuted(places, axis=1)], 1, 0)


def sizes_of(shares: Sequence[float], pieces: int) -> list[int]:
    """Return how many pieces each share is, at least one."""
    return [max(1, round(share * pieces)) for share in shares]


def pairs_of(targets: int, sizes: Sequence[int]) -> list[tuple[slice, int]]:
    """Return which targets are tested at each size.

    Few are at every size. More take turns, one size each: what a target loses at one of them says
    most of what it loses at another, and every pair takes a pass for each random map.
    """
    turns = len(sizes)
    if targets < 2 * turns:
        return [(slice(None), size) for size in sizes]
    return [(slice(turn, None, turns), size) for turn, size in enumerate(sizes)]


def outcomes(ranks: Ranks, pairs: Sequence[tuple[slice, int]]) -> int:
    """Return how many different top sets there are when a map is dealt out in all ways."""
    inside = np.concatenate([ranks[some] < size for some, size in pairs])
    alike = np.unique(inside, axis=1, return_counts=True)[1]
    return math.factorial(ranks.shape[1]) // math.prod(map(math.factorial, alike.tolist()))


def falls(
    scores: KeptScores, ranks: Ranks, pairs: Sequence[tuple[slice, int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much scores fall without the top pieces, and with them alone.

    Args:
        scores: By what was kept.
        ranks: `(maps, targets, pieces)`.
        pairs: Some targets, and how many pieces are their top ones, each time.

    Returns:
        `(maps,)` twice: means over all pairs of a target and a size.
    """
    whole = scores.whole()
    found: tuple[list[NDArray[np.float64]], ...] = ([], [])
    for some, size in pairs:
        top = ranks[:, some] < size
        numbers = np.arange(len(whole))[some]
        for side, kept in zip(found, (~top, top), strict=True):
            all_targets = scores.of(kept.reshape(-1, kept.shape[-1]))
            own = all_targets[np.arange(len(all_targets)), np.tile(numbers, len(ranks))]
            side.append(whole[numbers] - own.reshape(len(ranks), -1))
    down, up = (np.concatenate(side, axis=1).mean(1) for side in found)
    return down, up
