"""Where a model looked: drawn on the terminal, and written into a file."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from heedful.tasks.base import Picture


def draw(picture: "Picture", *, stderr: bool) -> None:
    """Draw a picture on the terminal."""
    from rich.console import Console

    from heedful.data.image_attention import ImageAttention
    from heedful.report.alignment import render_terminal
    from heedful.report.image_attention import render_image

    console = Console(stderr=stderr, highlight=False)
    if isinstance(picture, ImageAttention):
        console.print(render_image(picture))
    else:
        console.print(render_terminal(picture, console.width))


def write(picture: "Picture", output: Path, *, command: str) -> None:
    """Write a picture; what should be known about it is said on stderr."""
    from heedful.data.image_attention import ImageAttention
    from heedful.report.alignment_chart import write_alignment
    from heedful.report.image_attention import write_image

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        if isinstance(picture, ImageAttention):
            write_image(picture, output, command=command)
        else:
            write_alignment(picture, output, command=command)
    for note in notes:
        typer.echo(f"heedful: {note.message}", err=True)
    typer.echo(f"Wrote {output}", err=True)


def check(output: Path) -> None:
    """Check that a picture can be written under this name.

    Raises:
        ConfigError: It cannot.
        MissingExtraError: What writes it is not installed.
    """
    from heedful.report.alignment_chart import check_output

    check_output(output)
