"""The proof: what promises to pass is timed and judged, and where it fails, what comes next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import EventListener, Note, Stage
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.problem import Problem
from heedful.optimizing.rounds import Search
from heedful.optimizing.verdict import Verdict, judge

TIMINGS = 9  # rounds of the final comparison, in turns
MOST_LOOKS = 3  # at the test split, of one optimisation


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A candidate, how much faster it is, and the verdict on the test split.

    Args:
        best: The original where no candidate promised to pass.
        verdict: `None` where it did not come to that.
        speed: How many times faster than the original.
        latency: Milliseconds of the work, `before` and `after`.
        looks: The number of the look that the verdict is; 0 where there is none.
    """

    best: Candidate
    verdict: Verdict | None
    speed: Ratio
    latency: Mapping[str, float]
    looks: int = 0

    @property
    def accepted(self) -> bool:
        """Is it faster, measured, and good enough, on the test split?"""
        return self.verdict is not None and self.verdict.accepted

    def to_json(self) -> dict[str, Any]:
        """Return what there is to say of one that was refused, as plain data."""
        return {
            "plan": self.best.plan.dumps(),
            "speedup": round(self.speed.median, 4),
            "test": None if self.verdict is None else self.verdict.to_json(),
        }


def keep_time_for_proof(search: Search) -> None:
    """Keep back the time that the final timing and the verdict will take."""
    problem, clock = search.problem, search.clock
    if not clock.limited:
        return
    with clock.watch("use"):
        problem.use(problem.model)
    judging = 2 * clock.took["dev"] * problem.test_examples / problem.dev_examples
    clock.kept = 2 * (TIMINGS + 1) * clock.took["use"] + judging


def prove(search: Search, on_event: EventListener) -> list[Proof]:
    """Return the proofs of candidates in their order, until one is accepted, which is the last.

    What is not faster, measured, is not judged: that takes no look at the test split. Each look is
    surer than the one before, so that a second candidate does not get in by luck.

    Args:
        search: Behind its last round.
        on_event: Told what is going on.
    """
    proofs: list[Proof] = []
    for candidate in search.answers.in_order:
        on_event(Stage(text="timing the best against the original"))
        speed, latency = _timed(search.problem, candidate.model)
        verdict, looks = None, 0
        if speed.low > 1 and speed.median > 1:
            on_event(Stage(text="judging on the test split"))
            verdict, looks = _judged(search, candidate.model)
        proofs.append(
            Proof(best=candidate, verdict=verdict, speed=speed, latency=latency, looks=looks)
        )
        if proofs[-1].accepted:
            return proofs
        if sum(proof.verdict is not None for proof in proofs) == MOST_LOOKS:
            break
        on_event(Note(text=_next(proofs[-1])))
    if proofs:
        return proofs
    on_event(Stage(text="timing the original"))
    speed, latency = _timed(search.problem, None)
    return [Proof(best=search.original, verdict=None, speed=speed, latency=latency)]


def decisive(proofs: Sequence[Proof]) -> Proof:
    """Return the accepted one or else the first that came to a verdict, or the first of all."""
    last = proofs[-1]
    return last if last.accepted else next((each for each in proofs if each.verdict), proofs[0])


def _next(proof: Proof) -> str:
    """Say why a candidate is not the answer."""
    what = f"the one at {proof.best.share:.0%} of the cost"
    if proof.verdict is None:
        return f"{what} is not faster for certain, {proof.speed}"
    return f"{what} is refused: {proof.verdict.reason}"


def _judged(search: Search, model: nn.Module) -> tuple[Verdict, int]:
    """The verdict, and the number of this look at the test split."""
    problem = search.problem
    number = problem.count_look(model)
    found = judge(
        problem.statistics(problem.model, "test"),
        problem.statistics(model, "test"),
        metric=problem.metric,
        budget=search.budget,
        confidence=confidence_of_look(number),
        seed=search.settings.seed,
    )
    return found, number


def _timed(problem: Problem, model: nn.Module | None) -> tuple[Ratio, dict[str, float]]:
    """How much faster a model is, and milliseconds; `None` stands for the original itself."""
    if model is None:
        times = in_turns({"before": lambda: problem.use(problem.model)}, rounds=TIMINGS)
        alone = round(1e3 * times["before"].median, 3)
        return Ratio(1.0, 1.0, 1.0), {"before": alone, "after": alone}
    runs: dict[str, Callable[[], object]] = {
        "before": lambda: problem.use(problem.model),
        "after": lambda: problem.use(model),
    }
    times = in_turns(runs, rounds=TIMINGS)
    latency = {name: round(1e3 * of.median, 3) for name, of in times.items()}
    return ratio(times["before"], times["after"]), latency
