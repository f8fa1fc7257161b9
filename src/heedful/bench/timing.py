"""Calls that do one thing in different ways, timed in turns in one process."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds of one call, round by round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Ratio:
    """How many times faster one call is than another, paired round by round.

    Args:
        median: Of all rounds.
        low: A quarter of the rounds lies below.
        high: A quarter of the rounds lies above.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


def in_turns(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 1
) -> dict[str, Times]:
    """Time all calls in turns, so that whatever else the machine does meets all of them alike.

    Every other round goes backwards: what one call leaves to the next, warm caches or a hot
    processor, is left to each of them.

    Args:
        calls: What to time, by name.
        rounds: How often each is timed.
        warm_up: How often each runs before, unmeasured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warm_up):
        for call in calls.values():
            call()
    for number in range(rounds):
        for name, call in list(calls.items())[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def ratio(baseline: Times, ours: Times) -> Ratio:
    """How many times faster `ours` is: the median over rounds, and the middle half."""
    pairs = zip(baseline.rounds, ours.rounds, strict=True)
    ratios = sorted(slow / fast for slow, fast in pairs)
    quarter = len(ratios) // 4
    return Ratio(statistics.median(ratios), ratios[quarter], ratios[-1 - quarter])
