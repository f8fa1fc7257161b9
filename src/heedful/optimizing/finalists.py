"""The best few candidates of a round, fine-tuned for a moment, each by whoever is free."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from heedful.optimizing.candidate import Candidate
from heedful.optimizing.compression_levels import Assignment
from heedful.optimizing.events import Stage
from heedful.optimizing.prepared import Prepared
from heedful.optimizing.problem import Problem
from heedful.optimizing.shared_work import WARMED, SharedWork

if TYPE_CHECKING:
    from heedful.optimizing.rounds import Search

SHORT = 1 / 5  # of the time left that may go into a short fine-tuning


def best_of_finalists(
    search: "Search", prepared: Prepared, finalists: Sequence[Assignment], number: int
) -> Candidate:
    """Return the finalist that is the nearest to the original after a few steps, not judged.

    Args:
        search: Fine-tunes them, or lets others.
        prepared: What they are chosen from.
        finalists: Choices.
        number: Of the round.
    """
    steps = search.settings.finalist_steps if len(finalists) > 1 else 0
    made: dict[int, Candidate] = {}

    def build(place: int) -> Candidate:
        which = f"{place + 1} of {len(finalists)} finalists"
        search.tell(Stage(text=f"round {number}: fine-tuning {which}"))
        return search.candidate(prepared, finalists[place])

    def few() -> int:
        return search.finetuning_time.steps(steps, share=SHORT)

    def warm(place: int) -> Candidate:
        candidate = made.pop(place, None) or build(place)
        return search.warmed(candidate, few(), 1000 * number)

    shared, places = search.request.shared, range(len(finalists))
    if not steps or shared is None or not shared.others():
        tried = list(map(warm, places))
    else:
        jobs: list[int] = []
        for place in places:
            made[place] = build(place)
            how = {"steps": few(), "seed": 1000 * number}
            jobs.append(shared.post(WARMED, search.clock, made[place], **how))
        tried = done_by_all(shared, jobs, search.problem, warm)
    return min(tried, key=lambda candidate: candidate.divergence)


def done_by_all(
    shared: SharedWork, jobs: Sequence[int], problem: Problem, do: Callable[[int], Candidate]
) -> list[Candidate]:
    """Return what comes of jobs, of which this command does those that nobody else has begun.

    Args:
        shared: Where they are offered.
        jobs: Their numbers.
        problem: Whose original the candidates change.
        do: Does the job at a place among them.
    """
    own = {place: do(place) for place, number in enumerate(jobs) if shared.withdraw(number)}
    return [
        own.get(place) or shared.result(number, problem) or do(place)
        for place, number in enumerate(jobs)
    ]
