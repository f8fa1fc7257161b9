"""`heedful new`: a commented config."""

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli._options import Force, TaskFrom
from heedful.cli._output import check_file
from heedful.cli._program import again, own_task
from heedful.errors import ConfigError


def new(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="What to train; without it the tasks are listed."),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here, not to the terminal."),
    ] = None,
    force: Force = False,
    task_from: TaskFrom = None,
) -> None:
    """Print or write a config with every setting, its default and what it means."""
    from heedful.config.template import template
    from heedful.files import write_bytes
    from heedful.tasks.catalog import BUILT_IN, find_task, import_task

    if task is not None:
        found = find_task(task, source=task_from)
    elif task_from is not None:
        found = import_task(task_from)
    elif output is not None:
        raise ConfigError(f"TASK must be one of {', '.join(BUILT_IN)}, got none")
    else:
        show_tasks()
        return
    text = template(found.config_class)
    if output is None:
        typer.echo(text, nl=False)
        return
    check_file(output, force=force)
    write_bytes(output, text.encode())
    typer.echo(f"Wrote {output}. Train with: {again('train', output, *own_task(task_from))}")


def show_tasks() -> None:
    """Print what there is to train, and how to begin."""
    from heedful.tasks.catalog import BUILT_IN, find_task

    longest = max(map(len, BUILT_IN))
    for name in BUILT_IN:
        about = (find_task(name).__doc__ or "").partition("\n")[0]
        typer.echo(f"{name:{longest}}  {about}")
    typer.echo(f"\nBegin with: {again('new', 'TASK')} -o config.toml")
