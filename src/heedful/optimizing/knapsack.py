"""The candidate that should hurt least within a cost, if sites did not depend on each other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ConfigError
from heedful.optimizing.compression_levels import (
    Assignment,
    CompressionLevel,
    Table,
    check_table,
    cost_of,
    pareto,
)

STATES = 2048  # partial candidates kept; above, the result may be short of the best
_UNITS = 2**50  # of the largest cost; whole numbers, so that sums do not depend on their order


class _Front(NamedTuple):
    """Partial candidates by rising cost and falling divergence, and how each came about."""

    cost: NDArray[np.int64]
    divergence: NDArray[np.float64]
    before: NDArray[np.intp]  # in the front of the site before
    level: NDArray[np.intp]


def knapsack(table: Table, limit: float) -> Assignment | None:
    """Choose a level for each site, of the least summed divergence at a summed cost within `limit`.

    Candidates grow site by site; of those begun, only the ones remain that no other beats in cost
    and divergence and that still can end within the limit.

    Returns:
        Among candidates of equal divergence a cheapest one. `None` when the cheapest is over the
        limit.

    Raises:
        ConfigError: The table cannot be used, or `limit` is not a number.

    Source:
        Kellerer, Pferschy, Pisinger 2004, Knapsack Problems (multiple-choice knapsack, dominance).

    Cost:
        Exact while at most `STATES` partial candidates remain; beyond that one is kept for each of
        as many slices of cost, the least damaging: the limit holds, but a better one may be lost.
        At 60 sites of 12 levels that was less than 1 % of the divergence.
    """
    check_table(table)
    if np.isnan(limit):
        raise ConfigError(f"limit must be a number, got {limit}")
    chosen = [[levels[index] for index in pareto(levels)] for levels in table]
    fronts = _grow(chosen, limit)
    if fronts is None:
        return None
    # rounding to units may let one in that is over the limit by a last digit
    for last in range(len(fronts[-1].cost) - 1, -1, -1):
        assignment = _trace(fronts, last, table)
        if cost_of(assignment, table) <= limit:
            return assignment
    return None


def _grow(table: list[list[CompressionLevel]], limit: float) -> list[_Front] | None:
    largest = sum(max(level.cost for level in levels) for levels in table)
    unit = (largest or 1.0) / _UNITS
    costs = [np.rint([level.cost / unit for level in levels]).astype(np.int64) for levels in table]
    rest = int(sum(cost.min() for cost in costs))
    room = int(np.clip(limit / unit, 0, 2 * _UNITS)) + len(table)  # each rounds by up to half
    start = np.zeros(1, np.intp)
    front = _Front(start.astype(np.int64), start.astype(np.float64), start, start)
    fronts: list[_Front] = []
    for levels, cost in zip(table, costs, strict=True):
        rest -= int(cost.min())
        front = _next(front, cost, np.array([level.divergence for level in levels]), room - rest)
        if not len(front.cost):
            return None
        fronts.append(front)
    return fronts


def _next(
    front: _Front, cost: NDArray[np.int64], divergence: NDArray[np.float64], room: int
) -> _Front:
    """Combine each partial candidate with each level of one more site."""
    costs = (front.cost[:, None] + cost).ravel()
    divergences = (front.divergence[:, None] + divergence).ravel()
    order = np.lexsort((divergences, costs))
    order = order[costs[order] <= room]
    best = np.minimum.accumulate(divergences[order])
    better = np.append(True, divergences[order][1:] < best[:-1])[: len(order)]
    order = _thin(order[better], costs)
    return _Front(costs[order], divergences[order], order // len(cost), order % len(cost))


def _thin(order: NDArray[np.intp], costs: NDArray[np.int64]) -> NDArray[np.intp]:
    """Keep the cheapest, which surely fits, and the last one in each slice of cost."""
    if len(order) <= STATES:
        return order
    lowest, highest = int(costs[order[0]]), int(costs[order[-1]])
    slices = (costs[order] - lowest) // ((highest - lowest) // (STATES - 1) + 1)
    kept = np.append(slices[1:] != slices[:-1], True)
    kept[0] = True
    return order[kept]


def _trace(fronts: list[_Front], last: int, table: Table) -> Assignment:
    indices: list[int] = []
    for front, levels in zip(reversed(fronts), reversed(table), strict=True):
        indices.append(pareto(levels)[front.level[last]])
        last = int(front.before[last])
    return tuple(reversed(indices))
