"""`heedful optimize` in two processes: its long fine-tuning, with that of the original beside it.

    OMP_NUM_THREADS=2 python benchmarks/optimised_together.py RUN --steps 100

A candidate in which each attention has half of its heads is fine-tuned, and the original for as
many steps, in turns by one process, whose two threads train one model each, and by two processes of
one thread each. Time counts until both are there. Last, what each step took where nothing else was
trained.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from _measure import write

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.optimizing.company import CREW, Company
from heedful.optimizing.into_folder import IntoFolder, about_of, search_of
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.run_folder import run_into_folder
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.shared_work import SharedWork
from heedful.optimizing.taking_part import take_part
from heedful.training.run import Run

SETTINGS = OptimizeSettings(goal="macs", trials=1, rounds=1)


def asked_of(run: str, out: str) -> IntoFolder:
    metric = Run(run).kind.metrics[0].name
    return run_into_folder(run, lose=f"{metric} 1", output=out, settings=SETTINGS)


def halved(search: Search) -> Plan:
    """Half of the heads of each site."""
    moves = {}
    for site in search.sites:
        heads = site.read(search.start).geometry.heads
        moves[site.name] = (KeepHeads(heads=tuple(range(max(1, heads // 2)))),)
    return Plan(moves=moves, was=search.original.plan.was)


def seconds(search: Search, steps: int, *, beside: bool = True) -> float:
    """How long a candidate takes, and the original where it is trained as well."""
    plan = halved(search)
    candidate = replace(search.original, plan=plan, model=plan.apply(search.problem.model).eval())
    search.beside = None
    begun = time.perf_counter()
    search.trained(candidate, steps, 7, 1.0, beside)
    if beside:
        search.beside.result()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--join", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.join:
        take_part(asked_of(options.run, options.join), Company())
        return
    with tempfile.TemporaryDirectory() as parent:
        measure(options, Path(parent) / "out")


def measure(options: argparse.Namespace, out: Path) -> None:
    asked = asked_of(options.run, str(out))
    opened = asked.opened()
    request = Request(problem=opened.problem, budget=asked.budget, settings=SETTINGS)
    search = Search(request)
    steps = options.steps
    seconds(search, 5)  # kernels are chosen
    found: dict[str, list[float]] = {"one process": [], "two processes": []}
    folder = search_of(out) / CREW
    about = about_of(opened, asked.budget, SETTINGS)
    words = [sys.executable, __file__, options.run, "--join", str(out)]
    helper: list[subprocess.Popen[bytes]] = []
    company = Company(here=lambda: sum(each.poll() is None for each in helper))
    with SharedWork(folder, about, company) as shared:
        helper.append(subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"}))
        shared.gather()
        for _ in range(options.turns):
            search.request = request
            found["one process"].append(seconds(search, steps))
            search.request = replace(request, shared=shared)
            found["two processes"].append(seconds(search, steps))
        helper[0].kill()
        helper[0].wait()
        search.request = request
        alone = [seconds(search, steps, beside=False)]
        torch.set_num_threads(1)
        alone.append(seconds(search, steps, beside=False))
    rows = ["| | seconds | ms a step of both |", "|---|---|---|"]
    for name, times in found.items():
        middle = statistics.median(times)
        ends = f"{min(times):.1f} to {max(times):.1f}"
        rows.append(f"| {name} | {middle:.1f} ({ends}) | {1e3 * middle / steps:.0f} |")
    for threads, taken in zip((2, 1), alone, strict=True):
        rows.append(
            f"| the candidate alone, {threads} threads | {taken:.1f} | {1e3 * taken / steps:.0f} |"
        )
    write("optimised-together", [f"{steps} steps, {options.turns} turns.", "", *rows])


if __name__ == "__main__":
    main()
