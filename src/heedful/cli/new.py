"""`heedful new`: a commented config."""

from pathlib import Path
from typing import Annotated

import typer

from heedful.errors import ConfigError


def new(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What to train: translation.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here, not to the terminal."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
) -> None:
    """Print or write a config with every setting, its default and what it means."""
    from heedful.config_template import template
    from heedful.files import write_bytes

    text = template(task)
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise ConfigError(f"output must be a new file, got {output}. --force replaces it.")
    write_bytes(output, text.encode())
    typer.echo(f"Wrote {output}. Train with: heedful train {output}")
