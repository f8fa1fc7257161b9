"""A finding: something that takes time for nothing, and the line that mends it."""

from dataclasses import dataclass

from torch import nn

from heedful.bench.timing import Ratio, in_turns, ratio
from heedful.optimizing.problem import Problem

ROUNDS = 3
LEAST = 1.05  # times faster: less is noise


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What could be faster at once.

    Args:
        name: A word for it.
        text: What was found, in a sentence with its numbers.
        remedy: A line that mends it.
        gain: How many times faster the work was with it; `None` where only a share was measured.
    """

    name: str
    text: str
    remedy: str
    gain: float | None = None


def faster_by(problem: Problem, model: nn.Module) -> Ratio:
    """Return how many times faster the work is with another model, in turns with the original.

    Args:
        problem: Whose work it is.
        model: The other one.
    """
    times = in_turns(
        {"as it is": lambda: problem.work(problem.model), "other": lambda: problem.work(model)},
        rounds=ROUNDS,
    )
    return ratio(times["as it is"], times["other"])


def worth_it(gain: Ratio) -> bool:
    """Say whether a gain is more than what a busy machine makes of nothing."""
    return gain.median >= LEAST and gain.low > 1
