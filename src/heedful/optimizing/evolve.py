"""Evolutionary search over whole candidates, because sites depend on each other."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from heedful.errors import ConfigError
from heedful.optimizing.compression_levels import Assignment, Table, check_table, cost_of

Evaluate = Callable[[Assignment], float]
OnAssignment = Callable[[Assignment, float, bool], object]
Change = tuple[int, int]  # a site, and its new level

OFFSPRING = 4
TWO_STEPS = 1 / 8  # share of children that are changed twice, to leave a valley


@dataclass(frozen=True, kw_only=True)
class EvolutionResult:
    """What a search came to.

    Args:
        assignment: The best one.
        value: What it was evaluated to.
        evaluations: How many candidates were evaluated.
        history: All of them with their values, in order.
    """

    assignment: Assignment
    value: float
    evaluations: int
    history: tuple[tuple[Assignment, float], ...]


class Archive:
    """The candidates of one search: each is evaluated once, and no more of them than allowed.

    Args:
        start: Evaluated at once.
        table: The levels of each site.
        evaluate: Lower is better; what is not a number counts as infinite.
        evaluations: How many candidates may be evaluated, `start` among them.
        rank: Of a cost and a value; the best candidate has the lowest.
        on_assignment: Told each candidate, its value, and whether it is the best so far.

    Raises:
        ConfigError: `start` does not fit the table, or `evaluations` is below 1.
    """

    def __init__(
        self,
        start: Assignment,
        table: Table,
        evaluate: Evaluate,
        *,
        evaluations: int,
        rank: Callable[[float, float], tuple[float, ...]],
        on_assignment: OnAssignment | None = None,
    ) -> None:
        if evaluations < 1:
            raise ConfigError(f"evaluations must be at least 1, got {evaluations}")
        self.table = table
        self.left = evaluations
        self.best = start
        self.values: dict[Assignment, float] = {}
        self.costs: dict[Assignment, float] = {}
        self._evaluate = evaluate
        self._rank = rank
        self._on_candidate = on_assignment
        self.value(start)

    def value(self, assignment: Assignment) -> float:
        """Evaluate, or remember."""
        if assignment in self.values:
            return self.values[assignment]
        cost = cost_of(assignment, self.table)
        value = float(self._evaluate(assignment))
        value = math.inf if math.isnan(value) else value
        self.left -= 1
        self.costs[assignment], self.values[assignment] = cost, value
        is_best = assignment == self.best or self._rank_of(assignment) < self._rank_of(self.best)
        if is_best:
            self.best = assignment
        if self._on_candidate is not None:
            self._on_candidate(assignment, value, is_best)
        return value

    def within(self, limit: float) -> list[Assignment]:
        """List what costs no more than `limit`, the lowest value first."""
        fitting = (assignment for assignment, cost in self.costs.items() if cost <= limit)
        return sorted(fitting, key=self.values.__getitem__)

    def found(self) -> EvolutionResult:
        """Sum up."""
        history = tuple(self.values.items())
        return EvolutionResult(
            assignment=self.best,
            value=self.values[self.best],
            evaluations=len(history),
            history=history,
        )

    def _rank_of(self, assignment: Assignment) -> tuple[float, ...]:
        return self._rank(self.costs[assignment], self.values[assignment])


def evolve(
    start: Assignment,
    table: Table,
    evaluate: Evaluate,
    *,
    limit: float,
    evaluations: int,
    seed: int,
    offspring: int = OFFSPRING,
    on_assignment: OnAssignment | None = None,
) -> EvolutionResult:
    """Look for the candidate of the lowest value whose cost is within `limit`.

    Each generation changes the best candidate at one site, or makes one site cheaper and another
    dearer, and goes on with the best of all. Changes that the independent divergences favour come
    first, but not always. When all changes of the best are used up, the next best has its turn;
    when there is nothing left that any change leads to, the search is over before `evaluations`.

    Args:
        start: Where to begin; `knapsack` gives a good one.
        table: The levels of each site.
        evaluate: The value of a whole candidate, lower is better; called once for each.
        limit: Highest cost.
        evaluations: How many candidates may be evaluated, `start` among them.
        seed: Of all choices; the same one makes the same search.
        offspring: Candidates of a generation.
        on_assignment: Told each candidate, its value, and whether it is the best so far. What
            `evaluate` raises, Ctrl-C too, ends the search; the best is then the last told as such.

    Raises:
        ConfigError: `start` does not fit the table or costs more than `limit`, the table cannot be
            used, or a count is below 1.

    Source:
        Sieberling et al. 2024, arXiv:2410.14649 (level switches between candidates of equal cost).
        Unlike there, a child may use less than the limit, and the divergences bias which is drawn.
    """
    check_table(table)
    cost = cost_of(start, table)
    if not cost <= limit:
        raise ConfigError(f"start must cost no more than limit, got {cost=}, {limit=}")
    archive = Archive(
        start,
        table,
        evaluate,
        evaluations=evaluations,
        rank=lambda cost, value: (value, cost),
        on_assignment=on_assignment,
    )
    improve(
        archive, limit=limit, patience=evaluations, draw=random.Random(seed), offspring=offspring
    )
    return archive.found()


def improve(
    archive: Archive,
    *,
    limit: float,
    patience: int,
    draw: random.Random,
    offspring: int = OFFSPRING,
    enough: float = -math.inf,
) -> None:
    """Go on from the best of what was tried within `limit`.

    Args:
        archive: Gets what is evaluated.
        limit: Highest cost.
        patience: How many candidates may be evaluated here.
        draw: Where chance comes from.
        offspring: Candidates of a generation.
        enough: A value at which to stop.

    Raises:
        ConfigError: `offspring` is below 1.
    """
    if offspring < 1:
        raise ConfigError(f"offspring must be at least 1, got {offspring}")
    stop = max(0, archive.left - patience)
    barren: set[Assignment] = set()
    while archive.left > stop:
        parent = next((one for one in archive.within(limit) if one not in barren), None)
        if parent is None or archive.values[parent] <= enough:
            return
        children = _children(parent, archive, limit, draw, min(offspring, archive.left - stop))
        if not children:
            barren.add(parent)
        for child in children:
            if archive.value(child) <= enough:
                return


def _children(
    parent: Assignment, archive: Archive, limit: float, draw: random.Random, count: int
) -> list[Assignment]:
    children = _some(parent, archive, limit, draw, count)
    for index, child in enumerate(children):
        if draw.random() < TWO_STEPS:
            children[index : index + 1] = _some(child, archive, limit, draw, 1) or [child]
    return children


def _some(
    assignment: Assignment, archive: Archive, limit: float, draw: random.Random, count: int
) -> list[Assignment]:
    """Draw new neighbours; what stands in place r has a weight of about 1 / (r + 1)."""
    near = _near(assignment, archive.table, limit)
    some: list[Assignment] = []
    while near and len(some) < count:
        place = int((len(near) + 1) ** draw.random()) - 1
        levels = list(assignment)
        for site, index in near.pop(min(place, len(near) - 1)):
            levels[site] = index
        child = tuple(levels)
        if child not in archive.values and cost_of(child, archive.table) <= limit:
            some.append(child)
    return some


def _near(assignment: Assignment, table: Table, limit: float) -> list[tuple[Change, Change]]:
    """Changes and swaps that fit, smallest sum of divergences first; a change is a pair of one."""
    changes = [
        (site, index)
        for site, levels in enumerate(table)
        for index in range(len(levels))
        if index != assignment[site]
    ]
    now = [levels[index] for levels, index in zip(table, assignment, strict=True)]
    sites = np.array([site for site, _ in changes])
    cost = np.array([table[site][index].cost - now[site].cost for site, index in changes])
    divergence = np.array(
        [table[site][index].divergence - now[site].divergence for site, index in changes]
    )
    # rounding must not keep out what just fits; what it lets in is checked when it is drawn
    room = limit - cost_of(assignment, table) + 1e-9 * abs(limit)
    swaps = (cost[:, None] < 0) & (cost > 0) & (sites[:, None] != sites)
    swaps &= cost[:, None] + cost <= room
    (alone,), (cheaper, dearer) = np.nonzero(cost <= room), np.nonzero(swaps)
    one, other = np.append(alone, cheaper), np.append(alone, dearer)
    sums = np.append(divergence[alone], divergence[cheaper] + divergence[dearer])
    order = np.argsort(sums, kind="stable")
    pairs = zip(one[order].tolist(), other[order].tolist(), strict=True)
    return [(changes[first], changes[second]) for first, second in pairs]
