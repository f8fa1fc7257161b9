"""An optimisation with its progress on stderr; `optimize` and `demo` share it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from heedful.cli._workers import Together, optimized_together
from heedful.cli.progress import SECONDS_BETWEEN_LINES, duration, on_terminal

if TYPE_CHECKING:
    from heedful.checkpoints.examples import CheckpointData
    from heedful.checkpoints.problem import UserQuality
    from heedful.optimizing.budget import Budget
    from heedful.optimizing.clock import Clock
    from heedful.optimizing.events import OptimizeEvent
    from heedful.optimizing.settings import OptimizeSettings
    from heedful.training.run import Run


def optimize_with_progress(
    run: "Run | Path",
    *,
    lose: "Budget",
    output: Path,
    settings: "OptimizeSettings",
    test: Path | None = None,
    clock: "Clock | None" = None,
    together: Together | None = None,
) -> dict[str, Any]:
    """Optimise a run; return the report, which stands in the new folder as well.

    Raises:
        BudgetError: It was refused.
    """
    from heedful.optimizing.run_folder import optimize_run, run_into_folder

    with OptimizingProgress() as progress:
        asked: dict[str, Any] = {"lose": lose, "output": output, "test": test}
        asked |= {"settings": settings, "on_event": progress, "clock": clock}
        if together is None:
            return optimize_run(run, **asked).report
        return optimized_together(run_into_folder(run, **asked), together)


def checkpoint_with_progress(
    folder: Path,
    data: "CheckpointData",
    *,
    lose: "str | Budget",
    output: Path,
    settings: "OptimizeSettings",
    quality: "UserQuality | None" = None,
    clock: "Clock | None" = None,
    together: Together | None = None,
) -> dict[str, Any]:
    """Optimise a checkpoint; return the report, which stands in the new folder as well.

    Raises:
        BudgetError: It was refused.
    """
    from heedful.checkpoints.optimize import checkpoint_into_folder, optimize_checkpoint

    with OptimizingProgress() as progress:
        asked: dict[str, Any] = {"lose": lose, "output": output, "quality": quality}
        asked |= {"settings": settings, "on_event": progress, "clock": clock}
        if together is None:
            return optimize_checkpoint(folder, data, **asked).report
        return optimized_together(checkpoint_into_folder(folder, data, **asked), together)


def refused(output: Path) -> dict[str, Any]:
    """Return the report that a refusal left."""
    from heedful.allocation.saved_files import REPORT
    from heedful.files import read_json

    return read_json(output / REPORT)


class OptimizingProgress:
    """Listens to an optimisation; a context manager.

    Args:
        terminal: Draw a bar; `None` means when stderr is a terminal.
    """

    def __init__(self, *, terminal: bool | None = None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._next_line = -float("inf")
        self._best = "no candidate yet"
        self._bar: Progress | None = None
        if on_terminal() if terminal is None else terminal:
            columns = (BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> "OptimizingProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: "OptimizeEvent") -> None:
        """Show one event."""
        from heedful.optimizing.events import Note, RoundDone, Verified

        now = time.monotonic()
        if isinstance(event, Note):
            self._line(event.text)
        elif isinstance(event, RoundDone | Verified):
            self._line(describe(event))
            if event.candidate.promising:
                self._best = f"best so far: {event.candidate.share:.0%} of the cost"
        elif self._bar is not None:
            text = f"{duration(now - self._began)}  {event.text}  ({self._best})"
            self._bar.update(self._task, completed=event.done, description=escape(text))
        elif event.done is None or now >= self._next_line:
            self._next_line = now + SECONDS_BETWEEN_LINES
            share = "" if event.done is None else f" {event.done:.0%}"
            self._line(f"{duration(now - self._began)}  {event.text}{share}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)


def describe(event: Any) -> str:
    """One line for a finished round, or for what was verified outside of them."""
    from heedful.optimizing.events import Verified

    candidate = event.candidate
    verdict = candidate.verdict
    found = "" if verdict is None else f", {verdict.metric} {verdict.difference:+.2f}"
    promise = "may lose too much" if candidate.within else "loses too much"
    promise = "keeps the budget" if candidate.promising else promise
    if isinstance(event, Verified):
        return f"{event.text}: {candidate.share:.0%} of the cost{found}: {promise}"
    what = "fine-tuned for long" if event.final else f"round {event.number}"
    return f"{what}: {candidate.share:.0%} of the cost{found}: {promise}"
