"""How often is a change accepted that is known to lose more than the budget?

Changes of trained translators, drawn at random and not healed. One part of the test split tells
which of them lose too much: those whose loss is beyond the budget with 95 % confidence, and not so
large that nobody could overlook it. The verdict then sees another part of it, and the budget.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from _measure import write
from _translator import opened

from heedful.allocation.plan import unfused
from heedful.allocation.sites import find_sites
from heedful.metrics.metric import Floats
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.of_run import problem_of_run
from heedful.optimizing.operations import record_usage
from heedful.optimizing.problem import Problem
from heedful.optimizing.site_options import find_options
from heedful.optimizing.verdict import judge

BUDGET = parse_lose("chrf 0.5")
OBVIOUS = -4.0  # chrF; a larger loss proves nothing about the verdict
JUDGED, KNOWN = 1000, 2000  # examples


class Change(NamedTuple):
    """A change, and what the verdict says of it.

    Args:
        what: The sites and what became of them.
        loss: On the examples that tell how bad it is.
        bound: The verdict's.
        accepted: By the verdict.
    """

    what: str
    loss: float
    bound: float
    accepted: bool


def changes(problem: Problem, seed: int) -> Iterator[tuple[str, Floats]]:
    """Endless changes of one or two sites, and what is then written."""
    model = unfused(problem.model)
    sites = find_sites(model)[0]
    usage = record_usage(model, sites, problem.runs(model))
    ways = find_options(model, sites, problem, usage, seed=0)
    draw = random.Random(seed)
    while True:
        chosen = {
            site.name: draw.choice(ways.of[site.name][1:])
            for site in draw.sample(sites, draw.randint(1, 2))
        }
        new = ways.build({name: way.moves for name, way in chosen.items()})
        what = ", ".join(f"{name}: {way.label}" for name, way in chosen.items())
        yield what, problem.statistics(new, "test")


def known_bad(problem: Problem, seed: int) -> Iterator[Change]:
    """Endless changes of which it is known that they lose too much, and what the verdict says."""
    before = problem.statistics(problem.model, "test")
    for what, after in changes(problem, seed):
        known = slice(JUDGED, JUDGED + KNOWN)
        # the other way round: the bound of the loss is what it is at least
        loss = judge(after[known], before[known], metric=problem.metric, budget=BUDGET)
        if loss.bound <= -BUDGET.margin or -loss.difference < OBVIOUS:
            continue
        verdict = judge(before[:JUDGED], after[:JUDGED], metric=problem.metric, budget=BUDGET)
        yield Change(what, -loss.difference, verdict.bound, verdict.accepted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--changes", type=int, default=14, help="of each run")
    arguments = parser.parse_args()
    lines = ["| run | change | chrF | bound of the verdict | accepted |", "|---|---|---:|---:|---|"]
    found: list[Change] = []
    for number, folder in enumerate(arguments.runs, 1):
        problem = problem_of_run(opened(folder, JUDGED + KNOWN), BUDGET.metric)
        for change in islice(known_bad(problem, number), arguments.changes):
            print(change, file=sys.stderr, flush=True)
            found.append(change)
            lines.append(
                f"| {number} | {change.what} | {change.loss:+.2f} | {change.bound:+.2f} "
                f"| {'yes' if change.accepted else 'no'} |"
            )
    accepted = sum(change.accepted for change in found)
    lines = [f"{accepted} of {len(found)} accepted. Budget {BUDGET}.", "", *lines]
    write("known-bad", lines)


if __name__ == "__main__":
    main()
