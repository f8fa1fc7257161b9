"""`metrics.jsonl`: one line a measurement; TensorBoard beside it where asked for."""

import json
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from heedful.errors import MissingExtraError, RunError
from heedful.files import read_whole, reason, write_bytes
from heedful.texts import json_of
from heedful.training.events import Evaluated, Step, Watched

LARGEST = 1 << 32  # bytes


class MetricsLog:
    """Appends measurements to a run; as a context manager, with TensorBoard.

    Args:
        folder: The run folder.
        tensorboard: Also write event files for TensorBoard into `folder/tensorboard`.

    Raises:
        MissingExtraError: `tensorboard` is asked for and not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        self._make_board = _writer() if tensorboard else None
        self._board: Any = None
        self._last: int | None = None  # step of the checkpoint that is gone on from

    def __enter__(self) -> Self:
        """Begin to write event files; those before show nothing that will be measured again.

        Raises:
            RunError: They cannot be written.
        """
        if self._make_board is not None:
            folder = self.path.with_name("tensorboard")
            purged = None if self._last is None else self._last + 1
            with _writable(folder):
                self._board = self._make_board(str(folder), purge_step=purged)
        return self

    def __exit__(self, *error: object) -> None:
        """Close the event files."""
        if self._board is not None:
            with suppress(OSError):  # each line was written at once
                self._board.close()
            self._board = None

    def write(self, *events: Step | Evaluated | Watched) -> None:
        """Append one line for each.

        Raises:
            RunError: The file cannot be written.
        """
        lines = [json_of(_flat(event)) + "\n" for event in events]
        with _writable(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        if self._board is not None:
            with _writable(self.path.with_name("tensorboard")):
                for event in events:
                    for name, value in _scalars(event).items():
                        self._board.add_scalar(name, value, event.step)
                self._board.flush()

    def forget_after(self, step: int) -> None:
        """Drop what was measured after `step`, and a line that a kill cut off."""
        self._last = step
        lines = _lines(self.path)
        if lines:
            kept = [line for line in lines if _step(line) <= step]
            write_bytes(self.path, b"".join(line + b"\n" for line in kept))


class Window:
    """Sums since the last line of the log."""

    def __init__(self) -> None:
        self.loss, self.count, self.amount, self.steps = 0.0, 0.0, 0, 0
        self.values: dict[str, float] = {}
        self.began = time.perf_counter()

    def add(self, loss: float, count: float, amount: int, values: Mapping[str, float]) -> None:
        self.loss += loss
        self.count += count
        self.amount += amount
        self.steps += 1
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        return {name: total / self.steps for name, total in self.values.items()}

    def seconds(self) -> float:
        return time.perf_counter() - self.began


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return all measurements of a run, in order; a line that a kill cut off is left out."""
    lines = _lines(folder / "metrics.jsonl")
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def _flat(event: Step | Evaluated | Watched) -> dict[str, Any]:
    """An event as one table: of numbers, or of heads."""
    if isinstance(event, Watched):
        return event.to_json()
    values = asdict(event)
    if isinstance(event, Step):
        inner = values.pop("values")
        values[f"{values.pop('unit')}_per_second"] = values.pop("per_second")
    else:
        inner = values.pop("scores")
    return values | inner


def _scalars(event: Step | Evaluated | Watched) -> dict[str, float]:
    """What TensorBoard draws of an event, by name."""
    if isinstance(event, Watched):
        return event.scalars()
    return {name: value for name, value in _flat(event).items() if name not in ("step", "best")}


def _lines(path: Path) -> list[bytes]:
    """All lines; a missing file has none, but a folder or a link to nothing is an error."""
    if not (path.is_symlink() or path.exists()):
        return []
    return read_whole(path, most=LARGEST).splitlines()


def _step(line: bytes) -> float:
    """The step of a measurement; what is none comes after all."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
    return step if type(step) is int and step >= 0 else float("inf")


@contextmanager
def _writable(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} must be writable, got: {reason(error)}") from None


def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "train.tensorboard needs TensorBoard, got none. "
            "Install it: pip install 'heedful[tensorboard]'"
        ) from None
    return SummaryWriter
