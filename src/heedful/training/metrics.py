"""`metrics.jsonl`: one line a measurement; TensorBoard beside it where asked for."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heedful.errors import MissingExtraError, RunError
from heedful.files import write_bytes
from heedful.training.events import Evaluated, Step


class MetricsLog:
    """Appends measurements to a run.

    Args:
        folder: The run folder.
        tensorboard: Also write event files for TensorBoard into `folder/tensorboard`.

    Raises:
        MissingExtraError: `tensorboard` is asked for and not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        self._board = _board(folder / "tensorboard") if tensorboard else None

    def write(self, event: Step | Evaluated) -> None:
        """Append one line.

        Raises:
            RunError: The file cannot be written.
        """
        values = asdict(event)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.path} must be writable, got: {error.strerror or error}"
            ) from None
        if self._board is not None:
            for name, value in values.items():
                if name not in ("step", "best"):
                    self._board.add_scalar(name, value, values["step"])
            self._board.flush()

    def forget_after(self, step: int) -> None:
        """Drop what was measured after `step`, and a line that a kill cut off."""
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_bytes().splitlines() if _step(line) <= step]
        write_bytes(self.path, b"".join(line + b"\n" for line in kept))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return all measurements of a run, in order; a line that a kill cut off is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "train.tensorboard needs TensorBoard, got none. "
            "Install it: pip install 'heedful[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder))
