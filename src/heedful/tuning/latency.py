"""How long trained models take to answer one example, measured in turns."""

import statistics
from collections.abc import Callable, Sequence

from heedful.bench.timing import in_turns
from heedful.training.run import Run

EXAMPLES = 16  # of the dev split, evenly over it
ROUNDS, FINAL_ROUNDS = 5, 9


def milliseconds(runs: Sequence[Run], *, rounds: int = ROUNDS) -> list[float]:
    """Return the median time of one example for each run, one example at a time.

    The runs take turns, so that whatever else the machine does meets all of them alike.

    Args:
        runs: At least one; each answers examples of its own dev split.
        rounds: How often all of them are answered, after once without measuring.
    """
    works = {str(number): _one_by_one(run) for number, run in enumerate(runs)}
    times = in_turns({name: work for name, (work, _) in works.items()}, rounds=rounds)
    return [
        1_000 * statistics.median(times[name].rounds) / count for name, (_, count) in works.items()
    ]


def _one_by_one(run: Run) -> tuple[Callable[[], None], int]:
    """What answers examples one at a time, and how many: from what a user gives, as predict."""
    task, model, examples = run.task, run.model, run.examples("dev")
    chosen = examples[:: max(len(examples) // EXAMPLES, 1)][:EXAMPLES]

    def work() -> None:
        for example in chosen:
            task.answer(model, task.encode([example]))

    return work, len(chosen)
