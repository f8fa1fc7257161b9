"""`heedful.optimize`: a quality budget in, the fastest verified model out."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heedful.allocation.sites import find_sites
from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.optimizing.apart import apart_by, why_apart
from heedful.optimizing.budget import Budget, parse_budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Event, Listener, Note, RoundDone, Stage, ignore
from heedful.optimizing.evidence import Evidence, round_of
from heedful.optimizing.memory import Memory
from heedful.optimizing.of_model import Quality, Training, subject_of_model
from heedful.optimizing.operations import parameters
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.rounds import Search
from heedful.optimizing.settings import Settings
from heedful.optimizing.splits import Splits
from heedful.optimizing.subject import Subject
from heedful.optimizing.verdict import FEWEST_EXAMPLES, Verdict, judge
from heedful.probing.strangers import kinds_of

TIMINGS = 9  # rounds of the final comparison, in turns


def optimize(
    model: nn.Module,
    *,
    data: Splits,
    quality: Quality,
    keep: float | str | Budget,
    settings: Settings | None = None,
    training: Training | None = None,
    on_event: Listener = ignore,
    resume: str | Path | None = None,
) -> Outcome:
    """Spend less attention in any model, keep its quality, and prove both.

    Args:
        model: Never changed.
        data: Batches to calibrate and heal with, and two splits for `quality`: one to search with,
            one to judge on, once. No example may be in two of them.
        quality: Called with a model and a split, returns one number for each example: the verdict
            compares example by example.
        keep: How much worse the mean may get: -0.01 for at most 0.01 less of what should be high,
            +0.01 for at most 0.01 more of what should be low; or a text such as `loss <= 0.5%`.
        settings: How far and how carefully to search. `None` means `Settings()`.
        training: How the model is called and healed. `None` means `Training()`.
        on_event: Called with every event of `heedful.optimizing.events`.
        resume: A folder that keeps the rounds: the same call goes on where it was killed. Delete
            it when it is done.

    Returns:
        The outcome: `accepted` or refused with the reason; `save` writes it.

    Raises:
        ConfigError: A setting cannot be used, or `quality` does not give one number an example.
        DataError: An example is in two splits, or a split has too few examples for a verdict.
        UnsupportedError: The model holds no attention that can be changed.
    """
    budget = as_budget(keep)
    subject = subject_of_model(
        model,
        data,
        quality,
        metric=budget.metric,
        higher_is_better=budget.higher_is_better,
        training=Training() if training is None else training,
    )
    settings = settings or Settings()
    memory = None
    if resume is not None:
        about = {"model": type(model).__name__, "parameters": parameters(model)}
        memory = Memory(Path(resume), budget, settings, about)
    return optimize_subject(subject, budget, settings, on_event, memory)


def optimize_subject(
    subject: Subject,
    budget: Budget,
    settings: Settings,
    on_event: Listener = ignore,
    memory: Memory | None = None,
) -> Outcome:
    """Do the same for anything that a `Subject` describes.

    Raises:
        UnsupportedError: The model holds no attention that can be changed.
    """
    began = time.monotonic()
    sites, unknown = find_sites(
        subject.model, lambda model: subject.outputs(model, subject.calibration[0])
    )
    if not sites:
        reasons = "; ".join(f"{name}: {why}" for name, why in unknown.items())
        reasons = reasons or f"none among {kinds_of(subject.model)}"
        raise UnsupportedError(f"a model must hold attention that can be changed, got: {reasons}")
    history: list[dict[str, Any]] = []

    def listen(event: Event) -> None:
        if isinstance(event, RoundDone):
            history.append(round_of(event))
        on_event(event)

    torch.manual_seed(settings.seed)
    if memory is not None and memory.rounds:
        on_event(Note(text=f"going on behind round {memory.rounds} of {memory.folder}"))
    search = Search(subject, budget, settings, listen, memory)
    _check(search)
    distance = _apart(search, on_event)
    best = _search(search, on_event)
    on_event(Stage(text="timing the best against the original"))
    speed, latency = _timed(subject, None if best is search.original else best.model)
    verdict = None
    if best is not search.original and speed.low > 1 and speed.median > 1:
        on_event(Stage(text="judging on the test split"))
        verdict = _judged(subject, best.model, budget, settings)
    found = Evidence(search=search, best=best, verdict=verdict, speed=speed, latency=latency)
    return Outcome(
        accepted=found.accepted,
        reason=found.reason,
        model=best.model,
        plan=best.plan,
        verdict=verdict,
        report=found.report(
            seconds=time.monotonic() - began, not_adaptable=unknown, history=history
        )
        | {"taken_apart": distance},
    )


def _apart(search: Search, on_event: Listener) -> float | None:
    """Say how far the changeable form is from the model; `None` where that is no number."""
    distance = apart_by(search.subject, search.start)
    differs = why_apart(search.subject, distance)
    if differs is not None:
        on_event(Note(text=differs))
    return distance if math.isfinite(distance) else None


def _judged(subject: Subject, model: nn.Module, budget: Budget, settings: Settings) -> Verdict:
    before = subject.statistics(subject.model, "test")
    after = subject.statistics(model, "test")
    return judge(before, after, metric=subject.metric, budget=budget, seed=settings.seed)


def as_budget(keep: float | str | Budget) -> Budget:
    """Return a budget from the forms in which it may be given.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(keep, Budget):
        return keep
    if isinstance(keep, str):
        return parse_budget(keep)
    if keep == 0:
        raise ConfigError(
            "keep must be a margin with a sign, below 0 where more is better, got 0; "
            "to allow no loss at all say 'quality >= 0'"
        )
    return Budget(metric="quality", margin=float(keep))


def _check(search: Search) -> None:
    """Refuse before the work what no verdict could be given on after it."""
    counts = {"validation": len(search.before), "test": search.subject.test_examples}
    for split, examples in counts.items():
        if examples < FEWEST_EXAMPLES:
            raise DataError(
                f"the {split} split must hold at least {FEWEST_EXAMPLES} examples for a verdict, "
                f"got {examples}"
            )
    metric, budget = search.subject.metric, search.budget
    if budget.margin and metric.higher_is_better != budget.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ConfigError(
            f"the budget must know that {better} {metric.name} is better, got {budget}"
        )


def _search(search: Search, on_event: Listener) -> Candidate:
    """The most saving candidate that promises to pass; an interrupt ends the search only."""
    best = search.original
    try:
        for candidate in search.run():
            if candidate.promising and candidate.share < best.share:
                best = candidate
    except KeyboardInterrupt:
        if best is search.original:
            raise
        on_event(Note(text="interrupted: going on with the best so far"))
    return best


def _timed(subject: Subject, model: nn.Module | None) -> tuple[Ratio, dict[str, float]]:
    """How much faster a model is, and milliseconds; `None` stands for the original itself."""
    if model is None:
        times = in_turns({"before": lambda: subject.use(subject.model)}, rounds=TIMINGS)
        alone = round(1e3 * times["before"].median, 3)
        return Ratio(1.0, 1.0, 1.0), {"before": alone, "after": alone}
    ways: dict[str, Callable[[], object]] = {
        "before": lambda: subject.use(subject.model),
        "after": lambda: subject.use(model),
    }
    times = in_turns(ways, rounds=TIMINGS)
    latency = {name: round(1e3 * of.median, 3) for name, of in times.items()}
    return ratio(times["before"], times["after"]), latency
