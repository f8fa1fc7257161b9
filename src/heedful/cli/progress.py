"""How far a training is, on stderr: a bar on a terminal, otherwise a line now and then."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from heedful.training.events import Evaluated, Event, Finished, Message, Started, Step, Watched

SECONDS_BETWEEN_LINES = 10.0
BARS = "▁▂▃▄▅▆▇█"
LONGEST = 12  # bars
ALARMS = 3  # lines of them at an evaluation
BEFORE = "data: reading or making it, and learning what it is made of"


def on_terminal() -> bool:
    """Whether stderr is a terminal on which a bar can move; colour settings do not matter."""
    return sys.stderr.isatty()


class TrainingProgress:
    """Listens to a training; a context manager.

    Args:
        terminal: Draw a bar; `None` means when stderr is a terminal.
        quiet: Show messages only.
        clock: Seconds, for the pauses between lines.
    """

    def __init__(
        self,
        *,
        terminal: bool | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run: Path | None = None  # known once the training has started
        self.quiet, self.clock = quiet, clock
        self._next_line = -float("inf")
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not quiet and (on_terminal() if terminal is None else terminal):
            columns = (BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(BEFORE, total=None)  # moves without a share
        elif not self.quiet:
            self._line(f"{BEFORE} …")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Started | Finished):
            self.run = event.run
        if isinstance(event, Message):
            self._line(event.text)
        elif self.quiet:
            return
        elif isinstance(event, Step):
            self._step(event)
        else:
            self._line(describe(event))

    def _step(self, event: Step) -> None:
        text = describe(event)
        if self._bar is not None:
            task = self._bar.add_task("") if self._task is None else self._task
            self._task = task
            described = escape(f"{event.fraction:4.0%}  {text}")
            self._bar.update(task, total=1.0, completed=event.fraction, description=described)
        elif self.clock() >= self._next_line:
            self._next_line = self.clock() + SECONDS_BETWEEN_LINES
            self._line(f"{event.fraction:4.0%}  {text}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)


def describe(event: Started | Step | Evaluated | Watched | Finished) -> str:
    """One line for an event, and some for alarms."""
    if isinstance(event, Started):
        counts = ", ".join(f"{count:,} {split}" for split, count in event.examples.items())
        left_out = (
            f" ({event.skipped:,} too long, left out of training and dev loss)"
            if event.skipped
            else ""
        )
        return (
            f"run {event.run}: {event.parameters:,} parameters in {event.precision}, "
            f"examples: {counts}{left_out}"
        )
    if isinstance(event, Step):
        others = "".join(f"  {name} {value:.3f}" for name, value in [*event.values.items()][1:4])
        return (
            f"step {event.step:,}  loss {event.loss:.3f}{others}  "
            f"{event.per_second:,.0f} {event.unit}/s  eta {duration(event.remaining)}"
        )
    if isinstance(event, Evaluated):
        best = "  best so far" if event.best else ""
        scores = "  ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in event.scores.items()
        )
        return f"{event.fraction:4.0%}  step {event.step:,}  {scores}{best}"
    if isinstance(event, Watched):
        told = [str(alarm) for alarm in event.alarms[:ALARMS]]
        rest = len(event.alarms) - len(told)
        told += [f"and {rest} more, in metrics.jsonl"] if rest else []
        return "\n".join([_heads(event), *(f"  ! {text}" for text in told)])
    return f"finished after {event.step:,} steps in {duration(event.seconds)}: {event.reason}"


def _heads(event: Watched) -> str:
    """How far attention is spread: a mean over heads with its range, and a bar an evaluation."""
    known = [x for x in (head.normalised_entropy for head in event.heads) if x is not None]
    entropies = [max(0.0, x) for x in known]  # one key alone may be below it, by rounding
    masses = [x for x in (head.sink_mass for head in event.heads) if x is not None]
    text = "      heads "
    if entropies:
        mean = sum(entropies) / len(entropies)
        text += f" entropy {mean:.2f} [{min(entropies):.2f}-{max(entropies):.2f}]"
    if masses:
        text += f"  sink mass {sum(masses) / len(masses):.0%}"
    bars = (BARS[min(int(x * len(BARS)), len(BARS) - 1)] for x in event.entropies[-LONGEST:])
    return f"{text}  {''.join(bars)}"


def duration(seconds: float) -> str:
    """`4:05`, or `1:04:05` from an hour on."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def working(text: str) -> Generator[Callable[[str], None]]:
    """Say on stderr what takes a while: with a spinner on a terminal, else in one line.

    Gives a function that says what is being done now; not on a terminal it does so now and then.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if on_terminal():
        with console.status(escape(text)) as status:
            yield lambda detail: status.update(escape(f"{text}: {detail}"))
        return
    console.print(text, markup=False)
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def tell(detail: str) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            console.print(f"{text}: {detail}", markup=False)

    yield tell
