"""`heedful new`: a commented config."""

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli._options import Force
from heedful.cli._output import check_file
from heedful.cli._program import again


def new(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What to train: translation.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here, not to the terminal."),
    ] = None,
    force: Force = False,
) -> None:
    """Print or write a config with every setting, its default and what it means."""
    from heedful.config_template import template
    from heedful.files import write_bytes

    text = template(task)
    if output is None:
        typer.echo(text, nl=False)
        return
    check_file(output, force=force)
    write_bytes(output, text.encode())
    typer.echo(f"Wrote {output}. Train with: {again('train', output)}")
