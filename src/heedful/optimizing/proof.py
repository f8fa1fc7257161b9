"""The proof: what promises to pass is timed and judged, and where it fails, what comes next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.metrics.metric import Floats
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import EventListener, Note, Stage
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.problem import Problem
from heedful.optimizing.rounds import Search
from heedful.optimizing.settings import COUNTED, Goal
from heedful.optimizing.verdict import Verdict, judge

TIMINGS, FEWEST_TIMINGS = 9, 3  # rounds of the final comparison, in turns; the fewest in a hurry
TIMING = 1 / 5  # of all time that the final comparison may take
LATE = 1.1  # times the time that was given: rather late than without an answer
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
        after: Statistics of the candidate on the test split; `None` where they were not asked.
    """

    best: Candidate
    verdict: Verdict | None
    speed: Ratio
    latency: Mapping[str, float]
    looks: int = 0
    after: Floats | None = None

    @property
    def accepted(self) -> bool:
        """Does it save what was to be saved, and is it good enough, on the test split?"""
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
    clock.took["judging"] = 2 * clock.took["dev"] * problem.test_examples / problem.dev_examples
    if problem.truth is not None:  # the original that was fine-tuned for as long is judged too
        clock.took["judging"] *= 1.5
    clock.kept = 2 * (_timings(clock, TIMING * clock.limit) + 1) * clock.took["use"]
    clock.kept += clock.took["judging"]


def prove(search: Search, on_event: EventListener) -> list[Proof]:
    """Return the proofs of candidates in their order, until one is accepted, which is the last.

    What does not save what was to be saved (time, measured; or what the goal counts) is not judged:
    that takes no look at the test split. Each look is surer than the one before, so that a second
    candidate does not get in by luck. Where time is up, no further candidate has its turn.

    Args:
        search: Behind its last round.
        on_event: Told what is going on.
    """
    proofs: list[Proof] = []
    for candidate in search.answers.in_order:
        if proofs and not fits(search.clock):
            on_event(Note(text="the time is up before another candidate could be proved"))
            break
        proofs.append(_proof(search, candidate, on_event))
        if proofs[-1].accepted:
            return proofs
        if sum(proof.verdict is not None for proof in proofs) == MOST_LOOKS:
            break
        on_event(Note(text=_next(proofs[-1], search.settings.goal)))
    if proofs:
        return proofs
    speed, latency = _original_alone(search, on_event)
    return [Proof(best=search.original, verdict=None, speed=speed, latency=latency)]


def _original_alone(search: Search, on_event: EventListener) -> tuple[Ratio, dict[str, float]]:
    """How long the original takes, which nothing is compared with: no reason to be late."""
    clock = search.clock
    use = clock.took.get("use", 0.0)
    if use and clock.spent + (FEWEST_TIMINGS + 1) * use > clock.limit:
        alone = round(1e3 * use, 3)  # as the search began
        return Ratio(1.0, 1.0, 1.0), {"before": alone, "after": alone}
    on_event(Stage(text="timing the original"))
    return _timed(search.problem, None, FEWEST_TIMINGS)


def _proof(search: Search, candidate: Candidate, on_event: EventListener) -> Proof:
    on_event(Stage(text="timing the best against the original"))
    clock = search.clock
    spare = TIMING * clock.limit + min(0.0, clock.left)  # a search that took too long pays for it
    speed, latency = _timed(search.problem, candidate.model, _timings(clock, spare))
    proof = Proof(best=candidate, verdict=None, speed=speed, latency=latency)
    faster = speed.low > 1 and speed.median > 1
    if not (faster if search.settings.goal == "latency" else candidate.share < 1):
        return proof
    on_event(Stage(text="judging on the test split"))
    return _judged(search, proof)


def fits(clock: Clock) -> bool:
    """Is there time for another proof, if a short one?"""
    shortest = 2 * (FEWEST_TIMINGS + 1) * clock.took.get("use", 0.0)
    return clock.spent + shortest + clock.took.get("judging", 0.0) <= LATE * clock.limit


def _timings(clock: Clock, seconds: float) -> int:
    """How often the two of the final comparison take turns in so many seconds."""
    use = clock.took.get("use", 0.0)
    if not clock.limited or not use:
        return TIMINGS
    return max(FEWEST_TIMINGS, min(TIMINGS, int(seconds / (2 * use)) - 1))


def decisive(proofs: Sequence[Proof]) -> Proof:
    """Return the accepted one or else the first that came to a verdict, or the first of all."""
    last = proofs[-1]
    return last if last.accepted else next((each for each in proofs if each.verdict), proofs[0])


def _next(proof: Proof, goal: Goal) -> str:
    """Say why a candidate is not the answer."""
    what = f"the one at {proof.best.share:.0%} of the {COUNTED[goal]}"
    if proof.verdict is None:
        return f"{what} is not faster for certain, {proof.speed}"
    return f"{what} is refused: {proof.verdict.reason}"


def _judged(search: Search, proof: Proof) -> Proof:
    """The proof with the verdict, and the number of this look at the test split."""
    problem, model = search.problem, proof.best.model
    number = problem.count_look(model)
    before, after = (problem.statistics(each, "test") for each in (problem.model, model))
    found = judge(
        before,
        after,
        metric=problem.metric,
        budget=search.budget,
        confidence=confidence_of_look(number),
        seed=search.settings.seed,
    )
    return replace(proof, verdict=found, looks=number, after=after)


def _timed(
    problem: Problem, model: nn.Module | None, rounds: int
) -> tuple[Ratio, dict[str, float]]:
    """How much faster a model is, and milliseconds; `None` stands for the original itself."""
    if model is None:
        times = in_turns({"before": lambda: problem.use(problem.model)}, rounds=rounds)
        alone = round(1e3 * times["before"].median, 3)
        return Ratio(1.0, 1.0, 1.0), {"before": alone, "after": alone}
    runs: dict[str, Callable[[], object]] = {
        "before": lambda: problem.use(problem.model),
        "after": lambda: problem.use(model),
    }
    times = in_turns(runs, rounds=rounds)
    latency = {name: round(1e3 * of.median, 3) for name, of in times.items()}
    return ratio(times["before"], times["after"]), latency
