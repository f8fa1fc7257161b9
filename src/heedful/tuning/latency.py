"""How long trained models take to translate one phrase, measured in turns."""

import statistics
from collections.abc import Sequence

from heedful.bench.timing import in_turns
from heedful.training.run import Run

PHRASES = 16  # of the dev split, evenly over it
ROUNDS, FINAL_ROUNDS = 5, 9


def milliseconds(runs: Sequence[Run], *, rounds: int = ROUNDS) -> list[float]:
    """Return the median time of one phrase for each run, one phrase at a time.

    The runs take turns, so that whatever else the machine does meets all of them alike.

    Args:
        runs: At least one; each translates phrases of its own dev split.
        rounds: How often all phrases are translated, after once without measuring.
    """
    ways = {str(number): _Way(run) for number, run in enumerate(runs)}
    times = in_turns(ways, rounds=rounds)
    return [
        1_000 * statistics.median(times[name].rounds) / len(way.texts) for name, way in ways.items()
    ]


class _Way:
    def __init__(self, run: Run) -> None:
        texts = [example.source for example in run.examples("dev")]
        self.texts = texts[:: max(len(texts) // PHRASES, 1)][:PHRASES]
        self.translator = run.translator

    def __call__(self) -> None:
        for text in self.texts:
            self.translator.translate([text])
