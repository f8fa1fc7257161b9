"""Remove most encoder heads of trained translators: a few at a time, all at once, or at random.

When heads go, the output projection is refitted to the calibration batches (`KeepHeads`); those go
whose absence is felt least after that, each left out alone: all by what was felt at first, or some
at a time, the others asked anew. Every way is distilled and healed for as many steps in all.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from _measure import write
from _translator import going_on, moments_in, opened, verdict_on
from torch import nn

from heedful.allocation.moments import Moments
from heedful.allocation.moves import DropSite, KeepHeads, Move
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import Site, find_sites
from heedful.metrics.metric import Floats
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.distil import distil
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.of_run import problem_of_run
from heedful.optimizing.problem import Problem, Reference
from heedful.optimizing.verdict import Verdict

METRIC = "chrf"
BUDGET = parse_lose("chrf 0.5")
CONTROL = "nothing removed, healed as long"

Head = tuple[str, int]  # site, head as it is numbered now


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to remove heads.

    Args:
        name: In the tables.
        stages: How many heads go in each, first to last.
        draw: Seed of heads drawn at random; `None` means those that are missed least.
    """

    name: str
    stages: tuple[int, ...]
    draw: int | None = None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What every recipe may take.

    Args:
        distilled: Steps of layer-wise distillation in all.
        between: Of these, behind each cut but the last.
        healed: Steps of healing.
    """

    distilled: int
    between: int
    healed: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one run by one recipe.

    Args:
        recipe: How.
        left: Heads of each encoder layer that are left, as they were numbered.
        cut: The score right after every cut.
        verdict: After healing.
        seconds: All of it took.
    """

    recipe: Recipe
    left: list[str]
    cut: list[float]
    verdict: Verdict
    seconds: float


def encoder_sites(model: nn.Module) -> list[Site]:
    return [site for site in find_sites(model)[0] if site.name.startswith("encoder.")]


def chosen(
    model: nn.Module,
    moments: Mapping[str, Moments],
    reference: Reference,
    heads: int,
    draw: int | None,
) -> list[Head]:
    """The heads to remove: all layers are ranked together."""
    present = [
        (site.name, head)
        for site in encoder_sites(model)
        for head in range(site.read(model).geometry.heads)
    ]
    if draw is not None:
        return random.Random(draw).sample(present, heads)

    def divergence(head: Head) -> float:
        without = Plan(moves=moves_without(model, [head])).apply(model, moments).eval()
        return reference.divergence(without)

    return sorted(present, key=divergence)[:heads]


def moves_without(model: nn.Module, removed: Sequence[Head]) -> dict[str, tuple[Move, ...]]:
    moves: dict[str, tuple[Move, ...]] = {}
    for site in encoder_sites(model):
        heads = range(site.read(model).geometry.heads)
        left = tuple(head for head in heads if (site.name, head) not in removed)
        if len(left) < len(heads):
            moves[site.name] = (KeepHeads(heads=left) if left else DropSite(),)
    return moves


def follow(recipe: Recipe, problem: Problem, before: Floats, effort: Effort, seed: int) -> Row:
    began = time.monotonic()
    problem = going_on(problem, seed)
    start = unfused(problem.model)
    model, plan, reference = unfused(start), Plan(), Reference(problem)
    cut: list[float] = []
    last = len(recipe.stages) - 1
    for number, heads in enumerate(recipe.stages):
        moments = moments_in(problem, model)
        moves = moves_without(model, chosen(model, moments, reference, heads, recipe.draw))
        model = Plan(moves=moves).apply(model, moments).eval()
        for name, made in moves.items():
            plan = plan.then(name, made)
        cut.append(problem.metric.score(problem.statistics(model, "test")))
        changed = [site for site in encoder_sites(start) if site.name in plan.moves]
        taught = effort.between if number < last else effort.distilled - last * effort.between
        distil(model, start, changed, problem, steps=taught)
    finetune(model, problem, Finetuning(steps=effort.healed))
    model.eval()
    return Row(
        recipe=recipe,
        left=[left(plan, site) for site in encoder_sites(problem.model)],
        cut=cut,
        verdict=verdict_on(problem, before, model, BUDGET),
        seconds=time.monotonic() - began,
    )


def left(plan: Plan, site: Site) -> str:
    """The heads of a layer that a plan leaves, such as `0 3`."""
    moves = plan.moves.get(site.name, ())
    if not moves:
        return "all"
    return " ".join(map(str, getattr(moves[0], "heads", ()))) or "none"


def recipes(arguments: argparse.Namespace, seed: int) -> list[Recipe]:
    removed, step = arguments.heads, arguments.step
    stages = tuple(min(step, removed - gone) for gone in range(0, removed, step))
    found = [
        Recipe(name=f"iterative, {step} at a time", stages=stages),
        Recipe(name="one-shot", stages=(removed,)),
    ]
    for draw in range(arguments.draws):
        number = 100 * seed + draw
        found.append(Recipe(name=f"random, draw {draw}", stages=(removed,), draw=number))
    return [*found, Recipe(name=CONTROL, stages=())] if arguments.control else found


def told(number: int, row: Row) -> str:
    verdict = row.verdict
    cut = " then ".join(f"{score:.2f}" for score in row.cut) if row.recipe.stages else "-"
    return (
        f"| {number} | {row.recipe.name} | {' / '.join(row.left)} | {verdict.before:.2f} | {cut} "
        f"| {verdict.after:.2f} | {verdict.difference:+.2f} | {verdict.bound:+.2f} "
        f"| {'yes' if verdict.accepted else 'no'} | {row.seconds:.0f} |"
    )


def means(rows: list[list[Row]]) -> list[str]:
    lines = [
        "| way | mean chrF right after the last cut | mean chrF after healing | mean difference "
        "| worst bound | within the budget |",
        "|---|---|---|---|---|---|",
    ]
    kinds = dict.fromkeys(row.recipe.name.partition(",")[0] for of_run in rows for row in of_run)
    for kind in kinds:
        group = [row for of_run in rows for row in of_run if row.recipe.name.startswith(kind)]
        verdicts = [row.verdict for row in group]
        cut = statistics.fmean(row.cut[-1] for row in group)
        lines.append(
            f"| {kind} | {cut:.2f} | {statistics.fmean(v.after for v in verdicts):.2f} "
            f"| {statistics.fmean(v.difference for v in verdicts):+.2f} "
            f"| {min(v.bound for v in verdicts):+.2f} "
            f"| {sum(v.accepted for v in verdicts)} of {len(verdicts)} |"
        )
    return lines


def margins(rows: list[list[Row]]) -> list[str]:
    """How much better iterative is, run by run: after healing, and after the last cut."""

    def mean(of_run: list[Row], kind: str, *, healed: bool) -> float:
        group = [row for row in of_run if row.recipe.name.startswith(kind)]
        return statistics.fmean(row.verdict.after if healed else row.cut[-1] for row in group)

    lines = [
        "| run | iterative less one-shot | iterative less random "
        "| right after the last cut: less one-shot | less random |",
        "|---|---|---|---|---|",
    ]
    table = [
        [
            mean(of_run, "iterative", healed=healed) - mean(of_run, kind, healed=healed)
            for healed in (True, False)
            for kind in ("one-shot", "random")
        ]
        for of_run in rows
    ]
    averages = [statistics.fmean(column) for column in zip(*table, strict=True)]
    names = [*map(str, range(1, len(rows) + 1)), "mean"]
    for name, cells in zip(names, [*table, averages], strict=True):
        lines.append(f"| {name} | {' | '.join(f'{cell:+.2f}' for cell in cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--heads", type=int, default=6, help="to remove in all")
    parser.add_argument("--step", type=int, default=1, help="heads that go at a time")
    parser.add_argument("--steps", type=int, default=3000, help="of healing at the end")
    parser.add_argument("--distil", type=int, default=550, help="of distillation, in all")
    parser.add_argument("--between", type=int, default=50, help="of these, between two cuts")
    parser.add_argument("--draws", type=int, default=1, help="choices at random, for each run")
    parser.add_argument("--seed", type=int, default=0, help="of the batches, and of the draws")
    parser.add_argument("--control", action="store_true", help="also heal with all heads")
    parser.add_argument("--examples", type=int, help="of the test split; all unless said")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    lines = [
        f"{arguments.heads} encoder heads removed, {arguments.distil} steps of layer-wise",
        f"distillation in all, {arguments.between} of them between two cuts, and {arguments.steps}",
        f"of healing, on the same batches. Budget {BUDGET}, on the test split; the bound holds at",
        "95 %. Each run, with the heads left in each layer and the score right after every cut:",
        "",
        "| run | way | heads left | chrF before | right after cutting | after healing "
        "| difference | bound | within the budget | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    effort = Effort(distilled=arguments.distil, between=arguments.between, healed=arguments.steps)
    rows: list[list[Row]] = []
    for number, folder in enumerate(arguments.runs, 1):
        torch.manual_seed(arguments.seed)
        problem = problem_of_run(opened(folder, arguments.examples), METRIC, seed=arguments.seed)
        before = problem.statistics(problem.model, "test")
        rows.append([])
        for recipe in recipes(arguments, arguments.seed + number):
            rows[-1].append(follow(recipe, problem, before, effort, arguments.seed))
            lines.append(told(number, rows[-1][-1]))
            print(lines[-1], file=sys.stderr, flush=True)
    lines += ["", *means(rows)]
    if arguments.draws:
        lines += ["", "How much better iterative is, in chrF:", "", *margins(rows)]
    name = f"encoder-heads-{arguments.steps}-steps"
    print("\n".join(lines)) if arguments.dry else write(name, lines)


if __name__ == "__main__":
    main()
