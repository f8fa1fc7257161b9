"""Measure cases: ours, PyTorch's attention and the limits of the machine, in turns."""

import statistics
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from heedful.bench.attention.cases import Case, Group
from heedful.bench.attention.error import relative_error
from heedful.bench.attention.problem import (
    Outcome,
    Problem,
    Run,
    draw,
    flex,
    ours,
    overhead,
    sdpa,
    visible_fraction,
)
from heedful.bench.attention.rates import MatrixRates, reading
from heedful.bench.attention.row import Measurement, Row
from heedful.bench.timing import Times, in_turns, ratio

SAMPLE = 0.002  # seconds below which a call is repeated, so that the clock is no part of the time
REPEATS = 100
ROUNDS = (3, 101)

READING = "reading"

Calls = dict[str, Callable[[], object]]
Errors = tuple[float, float]  # ours, SDPA's


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """How to measure.

    Args:
        impl: What `heedful.attend` is asked for.
        flex: Compile FlexAttention for the cases that name it; 3 to 9 s each.
        seconds: About how long to measure a case; what is slow is measured three times at least.
        seed: Of the random numbers.
    """

    impl: str = "auto"
    flex: bool = False
    seconds: float = 2.0
    seed: int = 1


def measure(
    groups: Iterable[Group],
    *,
    threads: Iterable[int] | None = None,
    settings: MeasureSettings | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
    rates: MatrixRates | None = None,
) -> list[Measurement]:
    """Measure groups of cases, each with every number of threads.

    Args:
        groups: From `heedful.bench.attention.cases.groups`.
        threads: Numbers of threads; `None` means as many as torch has. They are put back.
        settings: How to measure.
        on_progress: Called before a case is measured.
        rates: Keeps the rates of matrix products; give one to look at them afterwards.
    """
    settings = MeasureSettings() if settings is None else settings
    rates = MatrixRates() if rates is None else rates
    groups = list(groups)
    found: list[Measurement] = []
    for count in (torch.get_num_threads(),) if threads is None else threads:
        with _threads(count):
            for group in groups:
                on_progress(f"{group[-1]}, {count} threads")
                found += _measure_group(group, settings, rates)
    return found


@contextmanager
def _threads(count: int) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure_group(
    group: Group, settings: MeasureSettings, rates: MatrixRates
) -> list[Measurement]:
    """Measure a group once, and as long as any other: who loses gets no second draw."""
    if group[0].method == "overhead":
        return [_overhead(case, settings) for case in group]
    return _group(group, settings, rates)


def in_rounds(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Times]:
    """Time warm calls in turns for about `seconds`: an odd number of rounds, three at least.

    What is quick is repeated within a round; its times are those of one call.
    """
    once = in_turns(calls, rounds=1, warm_up=0)
    slowest = max(times.median for times in once.values())
    repeats = min(REPEATS, max(1, round(SAMPLE / slowest)))
    spent = repeats * sum(times.median for times in once.values())
    low, high = ROUNDS
    rounds = min(high, max(low, int(seconds / spent) | 1))
    repeated = {name: _repeated(call, repeats) for name, call in calls.items()}
    found = in_turns(repeated, rounds=rounds, warm_up=0)
    return {
        name: Times(tuple(second / repeats for second in times.rounds))
        for name, times in found.items()
    }


def _repeated(call: Callable[[], object], repeats: int) -> Callable[[], object]:
    if repeats == 1:
        return call

    def run() -> None:
        for _ in range(repeats):
            call()

    return run


# ---- one group -----------------------------------------------------------------------------------


def _group(group: Group, settings: MeasureSettings, rates: MatrixRates) -> list[Measurement]:
    problems = [draw(case, settings.seed) for case in group]
    runs: dict[str, Run] = {}
    for number, problem in enumerate(problems):
        runs[f"ours {number}"] = ours(problem, settings.impl)
        runs.setdefault(_baseline(problem.case), sdpa(problem))
    errors = _errors(problems, {name: run() for name, run in runs.items()})
    before = rates.now(group[0].dtype)
    times = in_rounds({**runs, **_others(problems, settings)}, settings.seconds * len(group))
    rate = statistics.mean((before, rates.now(group[0].dtype)))
    timed = [_timed(times, number, case) for number, case in enumerate(group)]
    rows = [
        _row(problem, rounds, error, rate)
        for problem, rounds, error in zip(problems, timed, errors, strict=True)
    ]
    dense = next(((rows[n], timed[n]) for n, case in enumerate(group) if case.plain), None)
    return [
        _measured(row, rounds, None if case.plain else dense)
        for case, row, rounds in zip(group, rows, timed, strict=True)
    ]


def _baseline(case: Case) -> str:
    return f"sdpa {'causal' if case.causal else 'dense'}"


def _errors(problems: Sequence[Problem], outcomes: dict[str, Outcome]) -> list[Errors]:
    found: list[Errors] = []
    for number, problem in enumerate(problems):
        case, mask = problem.case, problem.mask
        found.append(
            (
                relative_error(problem, outcomes[f"ours {number}"], mask),
                relative_error(problem, outcomes[_baseline(case)], mask if case.causal else None),
            )
        )
    return found


def _others(problems: Sequence[Problem], settings: MeasureSettings) -> Calls:
    """FlexAttention and reading, where they are wanted; warm."""
    calls: dict[str, Callable[[], object] | None] = {}
    if settings.flex:
        torch.compiler.reset()  # or a new shape would be compiled for any length, and be slower
        for number, problem in enumerate(problems):
            calls[f"flex {number}"] = flex(problem) if problem.case.flex else None
    if problems[0].case.bound_by_reading:
        calls[READING] = reading(problems[0].pair)
    return {name: call for name, call in calls.items() if call is not None}


class _Timed(NamedTuple):
    """The rounds of one case."""

    ours: Times
    sdpa: Times
    flex: Times | None = None
    reading: Times | None = None


def _timed(times: dict[str, Times], number: int, case: Case) -> _Timed:
    optional = times.get(f"flex {number}"), times.get(READING)
    return _Timed(times[f"ours {number}"], times[_baseline(case)], *optional)


def _row(problem: Problem, timed: _Timed, errors: Errors, rate: float) -> Row:
    case, flex_times = problem.case, timed.flex
    density = visible_fraction(problem)
    if case.bound_by_reading:
        reads = timed.reading
        fraction = None if reads is None else density * reads.median / timed.ours.median
    else:
        fraction = density * case.operations() / timed.ours.median / rate
    return Row(
        **_shape(case, density),
        ours_ms=1e3 * timed.ours.median,
        sdpa_ms=1e3 * timed.sdpa.median,
        flex_ms=None if flex_times is None else 1e3 * flex_times.median,
        speedup=ratio(timed.sdpa, timed.ours).median,
        error=errors[0],
        sdpa_error=errors[1],
        matrix_fraction=fraction,
    )


def _shape(case: Case, density: float) -> dict[str, Any]:
    names = ("dtype", "batch", "heads", "queries", "keys", "dim", "causal", "backward")
    known = {name: getattr(case, name) for name in names}
    return {"case": case.name, **known, "density": density, "threads": torch.get_num_threads()}


def _measured(row: Row, timed: _Timed, dense: tuple[Row, _Timed] | None) -> Measurement:
    return Measurement(
        row=row,
        spread=_middle(timed.ours),
        speedup=ratio(timed.sdpa, timed.ours),
        of_dense=None if dense is None else ratio(timed.ours, dense[1].ours),
        dense=None if dense is None else dense[0],
    )


def _middle(times: Times) -> tuple[float, float]:
    ordered = sorted(times.rounds)
    quarter = len(ordered) // 4
    return 1e3 * ordered[quarter], 1e3 * ordered[-1 - quarter]


def _overhead(case: Case, settings: MeasureSettings) -> Measurement:
    """What `heedful.attend` takes beside the kernel that it calls."""
    calls = overhead(draw(case, settings.seed), settings.impl)
    for call in calls.values():
        call()
    times = in_rounds(calls, settings.seconds)
    pairs = zip(times["attend"].rounds, times["kernel"].rounds, strict=True)
    beside = Times(tuple(whole - kernel for whole, kernel in pairs))
    row = Row(
        **_shape(case, 1.0),
        ours_ms=1e3 * beside.median,
        sdpa_ms=1e3 * times["sdpa"].median,
        flex_ms=None,
        speedup=None,
        error=None,
        sdpa_error=None,
        matrix_fraction=None,
    )
    return Measurement(row=row, spread=_middle(beside), speedup=None)
