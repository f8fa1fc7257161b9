"""Writing the page of a run; `report` and `demo` share it."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from heedful.training.run import Run


def write_page(
    run: "Run",
    smaller: "Run | None",
    output: Path,
    *,
    command: str,
    lang: str = "en",
    examples: int = 6,
    seed: int = 0,
) -> None:
    """Gather, write, and say where; what is said while that takes its time goes to stderr."""
    from heedful.cli.progress import working
    from heedful.files import write_bytes
    from heedful.report.run_page.page import render
    from heedful.reporting.gather import Gathering, gather, optimised_from

    with working(f"making a page of {run.folder}") as tell:
        smaller = optimised_from(run) if smaller is None else smaller
        settings = Gathering(examples=examples, seed=seed)
        data = gather(run, smaller, command=command, settings=settings, tell=tell)
        write_bytes(output, render(data, language=lang))
    typer.echo(f"Wrote {output}", err=True)
