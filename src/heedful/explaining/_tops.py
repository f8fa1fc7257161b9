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


def outcomes(ranks: Ranks, sizes: Sequence[int]) -> int:
    """Return how many different top sets there are when a map is dealt out in all ways."""
    inside = np.concatenate([ranks < size for size in sizes])
    alike = np.unique(inside, axis=1, return_counts=True)[1]
    return math.factorial(ranks.shape[1]) // math.prod(map(math.factorial, alike.tolist()))


def falls(
    scores: KeptScores, ranks: Ranks, sizes: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much scores fall without the top pieces, and with them alone.

    Args:
        scores: By what was kept.
        ranks: `(maps, targets, pieces)`.
        sizes: How many pieces are the top ones, each time.

    Returns:
        `(maps,)` twice: means over sizes and targets.
    """
    maps, targets, pieces = ranks.shape
    whole = scores.whole()
    found = np.zeros((2, maps))
    for size in sizes:
        top = (ranks < size).reshape(-1, pieces)
        for side, kept in enumerate((~top, top)):
            all_targets = scores.of(kept).reshape(maps, targets, targets)
            own = np.diagonal(all_targets, axis1=1, axis2=2)
            found[side] += (whole - own).mean(1) / len(sizes)
    return found[0], found[1]
