"""The most saved while the value of the whole stays within what is tolerated: an experiment."""

import math
import random

from heedful.errors import ConfigError
from heedful.optimizing.compression_levels import Table, check_table
from heedful.optimizing.evolve import (
    OFFSPRING,
    Archive,
    Evaluate,
    EvolutionResult,
    OnAssignment,
    improve,
)
from heedful.optimizing.knapsack import knapsack

STEP = 1e-3  # of the largest possible saving: limits closer than this are not told apart


def cheapest(
    table: Table,
    evaluate: Evaluate,
    *,
    tolerated: float,
    evaluations: int,
    seed: int,
    offspring: int = OFFSPRING,
    on_assignment: OnAssignment | None = None,
) -> EvolutionResult:
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
    archive = Archive(
        original,
        table,
        evaluate,
        evaluations=evaluations,
        rank=lambda cost, value: (0.0, cost, value) if value <= tolerated else (1.0, value, cost),
        on_assignment=on_assignment,
    )
    value = archive.value(original)
    if not value <= tolerated:
        raise ConfigError(
            f"tolerated must be at least the value of the original, got {tolerated=}, {value=}"
        )
    draw = random.Random(seed)
    patience = 1
    while True:
        before = archive.left
        _halve(archive, tolerated, patience, draw, offspring)
        if archive.left in (0, before):
            return archive.found()
        patience *= 2


def _halve(
    archive: Archive, tolerated: float, patience: int, draw: random.Random, offspring: int
) -> None:
    low = math.fsum(min(level.cost for level in levels) for levels in archive.table)
    high = archive.costs[archive.best]
    step = STEP * (math.fsum(levels[0].cost for levels in archive.table) - low)
    while archive.left and high - low > step:
        limit = (low + high) / 2
        before = archive.left
        start = knapsack(archive.table, limit)
        if start is not None:
            archive.value(start)
        improve(
            archive,
            limit=limit,
            patience=patience - (before - archive.left),
            draw=draw,
            offspring=offspring,
            enough=tolerated,
        )
        high = archive.costs[archive.best]
        if high > limit:
            low = limit
