"""`heedful train`: train what a config file describes."""

import os
from pathlib import Path
from typing import Annotated

import typer

from heedful.cli._options import AsJson, TaskFrom
from heedful.errors import ConfigError
from heedful.texts import json_of


def train(
    config: Annotated[
        Path | None, typer.Argument(help="TOML file; `heedful new` writes one.", show_default=False)
    ] = None,
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. model.width=64."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="RUN", help="New run folder.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Go on with a run that was stopped; --set raises its limits."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Train what a config describes; prints the run folder."""
    if (config is None) == (resume is None):
        got = "neither" if config is None else "both"
        raise ConfigError(f"train must get CONFIG or --resume RUN, got {got}")
    if resume is not None and output:
        raise ConfigError("--resume must go on in its own folder, got --output")
    from heedful.cli._output import check_folder
    from heedful.cli._training import run_training
    from heedful.tasks.catalog import load_config

    overrides = list(settings or ())
    loaded = None
    if config is not None:
        loaded = load_config(config, overrides=overrides, source=task_from)
        if output is not None:
            loaded = loaded.model_copy(update={"output": str(output)})
        if loaded.output is not None:
            check_folder(Path(loaded.output))
    raised = overrides if resume is not None else []
    folder = run_training(loaded, resume=resume, overrides=raised, quiet=quiet, task=task_from)[1]
    if int(os.environ.get("RANK") or 0):  # of several processes that train, the first one tells
        return
    typer.echo(json_of({"run": str(folder)}) if as_json else folder)
