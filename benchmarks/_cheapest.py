"""The most saved while the value of the whole stays within what is tolerated: an experiment."""

import math
import random

from heedful.errors import ConfigError
from heedful.optimizing.evolve import OFFSPRING, Evaluate, Found, OnCandidate, Tried, improve
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.level import Table, check_table

STEP = 1e-3  # of the largest possible saving: limits closer than this are not told apart


def cheapest(
    table: Table,
    evaluate: Evaluate,
    *,
    tolerated: float,
    evaluations: int,
    seed: int,
    offspring: int = OFFSPRING,
    on_candidate: OnCandidate | None = None,
) -> Found:
    """Look for the cheapest candidate whose value is at most `tolerated`.

    Halves the range of costs between the best found and the cheapest possible, again and again: at
    each limit, the candidate that `knapsack` proposes and then children of the best known. The
    first round tries one candidate at a limit, the proposal where it is new; each further round
    begins anew with twice as many, because that a few were not enough proves nothing.

    Args:
        table: The levels of each site.
        evaluate: The value of a whole candidate, lower is better; called once for each.
        tolerated: Highest value; at least that of the original, which is evaluated first.
        evaluations: How many candidates may be evaluated, over all limits.
        seed: Of all choices; the same one makes the same search.
        offspring: Candidates of a generation.
        on_candidate: Told each candidate, its value, and whether it is the best so far. What
            `evaluate` raises, Ctrl-C too, ends the search; the best is then the last told as such.

    Returns:
        The original where nothing cheaper is tolerated.

    Raises:
        ConfigError: The value of the original is above `tolerated`, the table cannot be used, or a
            count is below 1.

    Source:
        Sieberling et al. 2024, arXiv:2410.14649 (the search at one limit).
    """
    check_table(table)
    original = (0,) * len(table)
    tried = Tried(
        original,
        table,
        evaluate,
        evaluations=evaluations,
        rank=lambda cost, value: (0.0, cost, value) if value <= tolerated else (1.0, value, cost),
        on_candidate=on_candidate,
    )
    value = tried.value(original)
    if not value <= tolerated:
        raise ConfigError(
            f"tolerated must be at least the value of the original, got {tolerated=}, {value=}"
        )
    draw = random.Random(seed)
    patience = 1
    while True:
        before = tried.left
        _halve(tried, tolerated, patience, draw, offspring)
        if tried.left in (0, before):
            return tried.found()
        patience *= 2


def _halve(
    tried: Tried, tolerated: float, patience: int, draw: random.Random, offspring: int
) -> None:
    low = math.fsum(min(level.cost for level in levels) for levels in tried.table)
    high = tried.costs[tried.best]
    step = STEP * (math.fsum(levels[0].cost for levels in tried.table) - low)
    while tried.left and high - low > step:
        limit = (low + high) / 2
        before = tried.left
        start = knapsack(tried.table, limit)
        if start is not None:
            tried.value(start)
        improve(
            tried,
            limit=limit,
            patience=patience - (before - tried.left),
            draw=draw,
            offspring=offspring,
            enough=tolerated,
        )
        high = tried.costs[tried.best]
        if high > limit:
            low = limit
