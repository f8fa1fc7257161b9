"""Opening a run, and saying what a folder holds that is none."""

from pathlib import Path
from typing import TYPE_CHECKING

from heedful.errors import RunError

if TYPE_CHECKING:
    from heedful.training.run import Run


def open_run(folder: Path, task: str | None = None) -> "Run":
    """Open a run folder; `task` is where a task of the user's own is.

    Raises:
        RunError: There is no run in it; a model that was saved by itself is named as such.
    """
    from heedful.allocation.saved_files import is_model
    from heedful.cli._runtime import loading

    with loading():
        from heedful.training.run import Run

    if is_model(folder):
        raise RunError(
            f"run must be a folder written by heedful train, got {folder}, which holds a model "
            "alone: heedful.load opens it in Python"
        )
    return Run(folder, task=task)
