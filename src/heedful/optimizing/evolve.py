"""Evolutionary search over whole candidates, because sites depend on each other."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from heedful.errors import ConfigError
from heedful.optimizing.level import Candidate, Table, check_table, cost_of

Evaluate = Callable[[Candidate], float]
OnCandidate = Callable[[Candidate, float, bool], object]

OFFSPRING = 4
TWO_STEPS = 1 / 8  # share of children that are changed twice, to leave a valley


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to.

    Args:
        candidate: The best one.
        value: What it was evaluated to.
        evaluations: How many candidates were evaluated.
        history: All of them with their values, in order.
    """

    candidate: Candidate
    value: float
    evaluations: int
    history: tuple[tuple[Candidate, float], ...]


class Tried:
    """The candidates of one search: each is evaluated once, and no more of them than allowed.

    Args:
        start: Evaluated at once.
        table: The levels of each site.
        evaluate: Lower is better; what is not a number counts as infinite.
        evaluations: How many candidates may be evaluated, `start` among them.
        rank: Of a cost and a value; the best candidate has the lowest.
        on_candidate: Told each candidate, its value, and whether it is the best so far.

    Raises:
        ConfigError: `start` does not fit the table, or `evaluations` is below 1.
    """

    def __init__(
        self,
        start: Candidate,
        table: Table,
        evaluate: Evaluate,
        *,
        evaluations: int,
        rank: Callable[[float, float], tuple[float, ...]],
        on_candidate: OnCandidate | None = None,
    ) -> None:
        if evaluations < 1:
            raise ConfigError(f"evaluations must be at least 1, got {evaluations}")
        self.table = table
        self.left = evaluations
        self.best = start
        self.values: dict[Candidate, float] = {}
        self.costs: dict[Candidate, float] = {}
        self._evaluate = evaluate
        self._rank = rank
        self._on_candidate = on_candidate
        self.value(start)

    def value(self, candidate: Candidate) -> float:
        """Evaluate, or remember."""
        if candidate in self.values:
            return self.values[candidate]
        cost = cost_of(candidate, self.table)
        value = float(self._evaluate(candidate))
        value = math.inf if math.isnan(value) else value
        self.left -= 1
        self.costs[candidate], self.values[candidate] = cost, value
        is_best = candidate == self.best or self._rank_of(candidate) < self._rank_of(self.best)
        if is_best:
            self.best = candidate
        if self._on_candidate is not None:
            self._on_candidate(candidate, value, is_best)
        return value

    def within(self, limit: float) -> list[Candidate]:
        """List what costs no more than `limit`, the lowest value first."""
        fitting = (candidate for candidate, cost in self.costs.items() if cost <= limit)
        return sorted(fitting, key=self.values.__getitem__)

    def found(self) -> Found:
        """Sum up."""
        history = tuple(self.values.items())
        return Found(
            candidate=self.best,
            value=self.values[self.best],
            evaluations=len(history),
            history=history,
        )

    def _rank_of(self, candidate: Candidate) -> tuple[float, ...]:
        return self._rank(self.costs[candidate], self.values[candidate])


def evolve(
    start: Candidate,
    table: Table,
    evaluate: Evaluate,
    *,
    limit: float,
    evaluations: int,
    seed: int,
    offspring: int = OFFSPRING,
    on_candidate: OnCandidate | None = None,
) -> Found:
    """Look for the candidate of the lowest value whose cost is within `limit`.

    Each generation changes the best candidate at one site, or makes one site cheaper and another
    dearer, and goes on with the best of all. Changes that the independent damages favour come
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
        on_candidate: Told each candidate, its value, and whether it is the best so far. What
            `evaluate` raises, Ctrl-C too, ends the search; the best is then what was told last.

    Raises:
        ConfigError: `start` does not fit the table or costs more than `limit`, the table cannot be
            used, or a count is below 1.

    Source:
        Sieberling et al. 2024, arXiv:2410.14649 (level switches between candidates of equal cost).
        Unlike there, a child may use less than the limit, and the damages bias which is drawn.
    """
    check_table(table)
    cost = cost_of(start, table)
    if not cost <= limit:
        raise ConfigError(f"start must cost no more than limit, got {cost=}, {limit=}")
    tried = Tried(
        start,
        table,
        evaluate,
        evaluations=evaluations,
        rank=lambda cost, value: (value, cost),
        on_candidate=on_candidate,
    )
    improve(tried, limit=limit, patience=evaluations, draw=random.Random(seed), offspring=offspring)
    return tried.found()


def improve(
    tried: Tried,
    *,
    limit: float,
    patience: int,
    draw: random.Random,
    offspring: int = OFFSPRING,
    enough: float = -math.inf,
) -> None:
    """Go on from the best of what was tried within `limit`.

    Args:
        tried: Gets what is evaluated.
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
    stop = max(0, tried.left - patience)
    barren: set[Candidate] = set()
    while tried.left > stop:
        parent = next((one for one in tried.within(limit) if one not in barren), None)
        if parent is None or tried.values[parent] <= enough:
            return
        children = _children(parent, tried, limit, draw, min(offspring, tried.left - stop))
        if not children:
            barren.add(parent)
        for child in children:
            if tried.value(child) <= enough:
                return


def _children(
    parent: Candidate, tried: Tried, limit: float, draw: random.Random, count: int
) -> list[Candidate]:
    children = _some(parent, tried, limit, draw, count)
    for index, child in enumerate(children):
        if draw.random() < TWO_STEPS:
            children[index : index + 1] = _some(child, tried, limit, draw, 1) or [child]
    return children


def _some(
    candidate: Candidate, tried: Tried, limit: float, draw: random.Random, count: int
) -> list[Candidate]:
    """Draw new neighbours; what stands in place r has a weight of 1 / (r + 1)."""
    near = [one for one in _near(candidate, tried.table, limit) if one not in tried.values]
    clock = [draw.expovariate(1 / (place + 1)) for place in range(len(near))]
    drawn = (near[place] for place in sorted(range(len(near)), key=clock.__getitem__))
    return list(islice((one for one in drawn if cost_of(one, tried.table) <= limit), count))


def _near(candidate: Candidate, table: Table, limit: float) -> list[Candidate]:
    """What one change, or one swap, makes of a candidate; the smallest sum of damages first."""
    now = [levels[index] for levels, index in zip(table, candidate, strict=True)]
    # rounding must not keep out what just fits; what it lets in is checked when it is drawn
    room = limit - cost_of(candidate, table) + 1e-9 * abs(limit)
    changes = [
        (level.cost - now[site].cost, level.damage - now[site].damage, site, index)
        for site, levels in enumerate(table)
        for index, level in enumerate(levels)
        if index != candidate[site]
    ]
    near = [(damage, [(site, index)]) for cost, damage, site, index in changes if cost <= room]
    dearer = [change for change in changes if change[0] > 0]
    for cost, damage, site, index in changes:
        if cost < 0:
            near += [
                (damage + other[1], [(site, index), other[2:]])
                for other in dearer
                if other[2] != site and cost + other[0] <= room
            ]
    near.sort(key=lambda change: change[0])
    return [_changed(candidate, change) for _, change in near]


def _changed(candidate: Candidate, change: list[tuple[int, int]]) -> Candidate:
    levels = list(candidate)
    for site, index in change:
        levels[site] = index
    return tuple(levels)
