"""A training with its progress on stderr; `train` and `demo` share it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heedful.cli._program import again, own_task
from heedful.cli._signals import STOPS
from heedful.cli.progress import TrainingProgress

if TYPE_CHECKING:
    from heedful.config.base import TaskConfig
    from heedful.training.run import Run


def run_training(
    config: "TaskConfig | None",
    *,
    resume: Path | None,
    overrides: Sequence[str] = (),
    quiet: bool = False,
    task: str | None = None,
) -> "tuple[Run, Path]":
    """Train or go on; returns the run and its folder.

    After Ctrl-C or SIGTERM it says how to go on, and lets the interrupt through.
    """
    from heedful.cli._runtime import loading

    with loading():  # here, so that `heedful --help` never imports torch
        from heedful.training.start import train

    progress = TrainingProgress(quiet=quiet)
    try:
        with progress:
            run = train(config, resume=resume, overrides=overrides, on_event=progress, task=task)
    except STOPS:
        folder = progress.run or resume
        if folder is not None:
            typer.echo(
                f"Go on with: {again('train', '--resume', folder, *own_task(task))}", err=True
            )
        raise
    return run, run.folder
