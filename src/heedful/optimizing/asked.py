"""A problem whose every pass asks the clock, so that no stage of a search can overlook it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from heedful.optimizing.clock import Clock
from heedful.optimizing.problem import Problem


def asked(problem: Problem, clock: Clock) -> Problem:
    """Return the same problem; while a search runs, a pass that no longer fits ends the search.

    What takes long, the work and the quality of a split, is begun only where there is time for as
    long as it took last.

    Args:
        problem: What is optimised.
        clock: Of all of it.
    """

    def asks(of: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if name is None:
                clock.ask()
                return of(*given)
            clock.ask(name)
            with clock.watch(name):
                return of(*given)

        return call

    def statistics(model: Any, split: Any) -> Any:
        return asks(problem.statistics, split)(model, split)

    return replace(
        problem,
        outputs=asks(problem.outputs),
        work=asks(problem.work, "work"),
        statistics=statistics,
    )
