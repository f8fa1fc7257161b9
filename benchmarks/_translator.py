"""What the benchmarks on a trained translator share: its run, its verdict, what it costs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from heedful.allocation.moments import Moments, collect_moments
from heedful.allocation.plan import unfused
from heedful.allocation.sites import find_sites
from heedful.data.examples import Example
from heedful.files import read_json
from heedful.metrics.metric import Floats
from heedful.optimizing.budget import Budget
from heedful.optimizing.operations import record_usage, total_operations
from heedful.optimizing.problem import Batch, Problem
from heedful.optimizing.verdict import Verdict, judge
from heedful.training.checkpoint import read_pointer
from heedful.training.run import Run


class FirstExamples(Run):
    """A run of which only the first held-out examples are read."""

    def __init__(self, folder: Path, examples: int) -> None:
        super().__init__(folder, device="cpu")
        self.kept = examples

    def examples(self, split: str) -> list[Example]:
        return super().examples(split)[: self.kept]


def opened(folder: Path, examples: int | None) -> Run:
    return Run(folder, device="cpu") if examples is None else FirstExamples(folder, examples)


def progress_of(folder: Path) -> tuple[int, float]:
    """Steps and seconds of the training behind a run."""
    last = folder / "checkpoints" / read_pointer(folder).last
    progress = read_json(last / "progress.json")
    return progress["step"], progress["seconds"]


def passes(problem: Problem, model: nn.Module) -> list[Callable[[], object]]:
    """One call for each calibration batch."""
    return [lambda batch=batch: problem.outputs(model, batch) for batch in problem.calibration]


def moments_in(problem: Problem, model: nn.Module) -> dict[str, Moments]:
    return collect_moments(model, find_sites(model)[0], passes(problem, model))


def attention_operations(problem: Problem, model: nn.Module) -> float:
    """Multiply-adds of all its attention over the calibration batches."""
    apart = unfused(model)
    sites = find_sites(apart)[0]
    return total_operations(apart, sites, record_usage(apart, sites, passes(problem, apart)))


def going_on(problem: Problem, seed: int) -> Problem:
    """The same with one stream of batches, which every healing takes up where the last one left."""
    batches = problem.training(seed)

    def training(seed: int) -> Iterator[Batch]:
        return batches

    return replace(problem, training=training)


def verdict_on(problem: Problem, before: Floats, model: nn.Module, budget: Budget) -> Verdict:
    after = problem.statistics(model, "test")
    return judge(before, after, metric=problem.metric, budget=budget)
