"""How much of the best possible saving the search finds, where every candidate can be looked at."""

import argparse
import itertools
import math
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from _cheapest import cheapest
from _measure import write

from heedful.optimizing.compression_levels import (
    Assignment,
    CompressionLevel,
    cost_of,
    divergence_of,
)
from heedful.optimizing.knapsack import knapsack

SPACES = ((6, 4), (5, 5))  # sites, levels of each
STRENGTHS = (0.3, 0.6, 1.0)
TOLERATED = (0.01, 0.05, 0.2)  # share of all candidates that is good enough
BUDGETS = (0.01, 0.025, 0.05, 0.1, 0.2)  # share of all candidates that may be evaluated
WANTED = 0.95  # share of the best saving
DIRECTIONS = 3

Change = tuple[int, int]  # site, level
Term = Callable[[Change, Change], float]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All candidates with their true values, and what a search knows beforehand."""

    table: list[list[CompressionLevel]]
    costs: dict[Assignment, float]
    values: dict[Assignment, float]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One search: the share of the best saving that each way found, by the share evaluated."""

    space: str
    kind: str
    strength: float
    seed: int
    ours: dict[float, float]
    by_chance: dict[float, float]
    knapsack: float
    trusted: float | None  # the saving that the damages alone promise, where its value is tolerated


def levels_of(sites: int, levels: int, draw: random.Random) -> list[list[CompressionLevel]]:
    """Sites of different size and sensitivity, whose damage grows faster than their saving."""
    table: list[list[CompressionLevel]] = []
    for _ in range(sites):
        full, sensitivity, bend = draw.uniform(0.5, 2), draw.lognormvariate(0, 0.8), draw.random()
        shares = [1.0, *sorted((draw.random() for _ in range(levels - 1)), reverse=True)]
        table.append(
            [
                CompressionLevel(
                    label=f"{share:.0%}",
                    cost=full * share,
                    divergence=sensitivity
                    * (1 - share) ** (1 + bend)
                    * draw.lognormvariate(0, 0.2),
                )
                for share in shares
            ]
        )
    return table


def any_sign(draw: random.Random, size: Callable[[Change], float]) -> Term:
    return lambda one, other: draw.uniform(-1, 1) * math.sqrt(size(one) * size(other))


def compounding(draw: random.Random, size: Callable[[Change], float]) -> Term:
    return lambda one, other: draw.random() * math.sqrt(size(one) * size(other))


def few_and_strong(draw: random.Random, size: Callable[[Change], float]) -> Term:
    def term(one: Change, other: Change) -> float:
        return (draw.random() < 0.15) * math.sqrt(size(one) * size(other))

    return term


def as_vectors(draw: random.Random, size: Callable[[Change], float]) -> Term:
    """Each change moves the output; moves add up, and the loss is the square of their length."""
    vectors: dict[Change, list[float]] = {}

    def vector(change: Change) -> list[float]:
        if change not in vectors:
            direction = [draw.gauss(0, 1) for _ in range(DIRECTIONS)]
            scale = math.sqrt(size(change)) / math.hypot(*direction)
            vectors[change] = [scale * part for part in direction]
        return vectors[change]

    def term(one: Change, other: Change) -> float:
        return 2 * sum(a * b for a, b in zip(vector(one), vector(other), strict=True))

    return term


KINDS = {
    "of any sign": any_sign,
    "all harmful": compounding,
    "few and strong": few_and_strong,
    "as of vectors": as_vectors,
}


def planted(sites: int, levels: int, kind: str, strength: float, seed: int) -> Space:
    """Pairwise terms with a root mean square of `strength` times the mean of summed damages."""
    draw = random.Random(f"{sites} {levels} {kind} {seed}")
    table = levels_of(sites, levels, draw)
    term = KINDS[kind](draw, lambda change: table[change[0]][change[1]].divergence)
    changes = [(site, level) for site in range(sites) for level in range(1, levels)]
    terms = {pair: term(*pair) for pair in itertools.combinations(changes, 2)}
    assignments = list(itertools.product(range(levels), repeat=sites))
    divergences = [divergence_of(assignment, table) for assignment in assignments]
    together = [
        sum(terms[pair] for pair in itertools.combinations(changed(assignment), 2))
        for assignment in assignments
    ]
    size = math.sqrt(statistics.fmean(value * value for value in together))
    factor = strength * statistics.fmean(divergences) / size
    return Space(
        table=table,
        costs={assignment: cost_of(assignment, table) for assignment in assignments},
        values={
            assignment: divergence + factor * more
            for assignment, divergence, more in zip(assignments, divergences, together, strict=True)
        },
    )


def changed(assignment: Assignment) -> list[Change]:
    return [(site, level) for site, level in enumerate(assignment) if level]


def outcomes(seeds: int) -> Iterator[Outcome]:
    for (sites, levels), kind, strength, seed in itertools.product(
        SPACES, KINDS, STRENGTHS, range(seeds)
    ):
        space = planted(sites, levels, kind, strength, seed)
        values = sorted(space.values.values())
        for share in TOLERATED:
            # the original has a value of 0, and is always good enough
            tolerated = max(0.0, values[int(share * len(values))])
            yield outcome(space, tolerated, f"{sites} x {levels}", kind, strength, seed)


def outcome(
    space: Space, tolerated: float, name: str, kind: str, strength: float, seed: int
) -> Outcome:
    top = space.costs[(0,) * len(space.table)]
    fine = {one for one, value in space.values.items() if value <= tolerated}
    best = top - min(space.costs[one] for one in fine)

    def saved(assignments: set[Assignment]) -> float:
        return (top - min([top, *(space.costs[one] for one in assignments & fine)])) / best

    ours: dict[float, float] = {}
    by_chance: dict[float, float] = {}
    shuffled = random.Random(seed).sample(list(space.values), len(space.values))
    for share in BUDGETS:
        evaluations = int(share * len(space.values))
        found = cheapest(
            space.table,
            space.values.__getitem__,
            tolerated=tolerated,
            evaluations=evaluations,
            seed=seed,
        )
        ours[share] = saved({found.assignment})
        by_chance[share] = saved(set(shuffled[:evaluations]))
    promised = [one for one in space.costs if divergence_of(one, space.table) <= tolerated]
    trusted = min(promised, key=space.costs.__getitem__)
    limits = sorted(set(space.costs.values()))
    proposed = {knapsack(space.table, limit) for limit in limits[:: len(limits) // 200]}
    return Outcome(
        space=name,
        kind=kind,
        strength=strength,
        seed=seed,
        ours=ours,
        by_chance=by_chance,
        knapsack=saved({one for one in proposed if one is not None}),
        trusted=saved({trusted}) if trusted in fine else None,
    )


def told(shares: list[float]) -> str:
    return f"{100 * statistics.fmean(shares):.1f} ({100 * min(shares):.1f})"


def by_kind(all_of_them: list[Outcome]) -> Iterator[str]:
    yield "| space | dependence | strength | search | at random | knapsack | damages broken |"
    yield "|---|---|---|---|---|---|---|"
    groups: dict[tuple[str, str, float], list[Outcome]] = defaultdict(list)
    for one in all_of_them:
        groups[one.space, one.kind, one.strength].append(one)
    for (space, kind, strength), group in groups.items():
        broken = sum(one.trusted is None for one in group)
        yield (
            f"| {space} | {kind} | {strength:.0%} | {told([one.ours[0.2] for one in group])} | "
            f"{told([one.by_chance[0.2] for one in group])} | "
            f"{told([one.knapsack for one in group])} | {broken} of {len(group)} |"
        )


def by_seed(all_of_them: list[Outcome]) -> Iterator[str]:
    yield "| seed | search | below 95 | at random | below 95 | knapsack | below 95 |"
    yield "|---|---|---|---|---|---|---|"
    seeds = sorted({one.seed for one in all_of_them})
    for name, chosen in [*((str(seed), {seed}) for seed in seeds), ("all", set(seeds))]:
        group = [one for one in all_of_them if one.seed in chosen]
        ways = (
            [one.ours[0.2] for one in group],
            [one.by_chance[0.2] for one in group],
            [one.knapsack for one in group],
        )
        cells = [f"{told(way)} | {sum(x < WANTED for x in way)} of {len(way)}" for way in ways]
        yield f"| {name} | {' | '.join(cells)} |"


def by_budget(all_of_them: list[Outcome]) -> Iterator[str]:
    yield "| evaluated | of 6 x 4 | of 5 x 5 | search | below 95 | at random | below 95 |"
    yield "|---|---|---|---|---|---|---|"
    for share in BUDGETS:
        ways = (
            [one.ours[share] for one in all_of_them],
            [one.by_chance[share] for one in all_of_them],
        )
        cells = [f"{told(way)} | {sum(x < WANTED for x in way)} of {len(way)}" for way in ways]
        counts = [f"{int(share * levels**sites)}" for sites, levels in SPACES]
        yield f"| {share:.1%} | {' | '.join([*counts, *cells])} |"


def own_time() -> Iterator[str]:
    yield "| sites x levels | evaluations | seconds of one core |"
    yield "|---|---|---|"
    for sites, levels in ((12, 8), (24, 8), (60, 12)):
        table = levels_of(sites, levels, random.Random(1))
        worst = math.fsum(max(level.divergence for level in site) for site in table)
        began = time.process_time()
        cheapest(
            table,
            lambda assignment, table=table: 1.5 * divergence_of(assignment, table),
            tolerated=0.1 * worst,
            evaluations=200,
            seed=1,
        )
        yield f"| {sites} x {levels} | 200 | {time.process_time() - began:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    all_of_them = list(outcomes(arguments.seeds))
    tolerated = ", ".join(f"{share:.0%}" for share in TOLERATED)
    lines = [
        "The cheapest candidate whose value is tolerated, with the limit where "
        f"{tolerated} of all candidates are (but at least the value of the original). The saving "
        "found is in percent of the best saving there is, known from looking at every candidate: "
        "the mean, and the worst in brackets.",
        "",
        "* values: the sum of the damages of single levels, which the search knows, and a term for "
        "each pair of changed sites, which it does not know. *Strength* is the root mean square of "
        "the sum of these terms over all candidates, as a share of the mean sum of damages.",
        "* search: `benchmarks/_cheapest.py` with 20 % of the evaluations of looking at all; "
        "`heedful.optimize` does not run it: it begins with `knapsack` at one limit, then "
        "`evolve`",
        "* at random: as many candidates, drawn without replacement",
        "* knapsack: the best of what `knapsack` proposes at 200 limits, each one evaluated",
        "* damages broken: how often the cheapest candidate that the sum of damages promises to be "
        "good enough is not",
        "",
        f"## By dependence, {arguments.seeds} seeds x {len(TOLERATED)} limits each",
        "",
        *by_kind(all_of_them),
        "",
        "## By seed, over everything above",
        "",
        *by_seed(all_of_them),
        "",
        "## With fewer evaluations",
        "",
        *by_budget(all_of_them),
        "",
        "## What the search itself takes, without evaluations",
        "",
        *own_time(),
    ]
    write("search-efficiency", lines)


if __name__ == "__main__":
    main()
