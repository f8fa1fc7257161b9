"""`heedful report`: one page of a run, and of what optimising made of it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from heedful.cli._options import MOST, Force, RunFolder, Seed, TaskFrom
from heedful.files import named


def report(
    context: typer.Context,
    run: RunFolder,
    smaller: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN2", help="What optimising made of it; by default RUN-optimised, if there."
        ),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="HTML file to write.")
    ] = Path("report.html"),
    lang: Annotated[Literal["en", "zh"], typer.Option(help="Language of the page.")] = "en",
    examples: Annotated[
        int, typer.Option(min=0, max=MOST, metavar="COUNT", help="Examples to explain.")
    ] = 6,
    seed: Seed = 0,
    force: Force = False,
    task_from: TaskFrom = None,
) -> None:
    """Write one page that opens anywhere: quality, cost, heads, and why answers were given."""
    from heedful.cli._output import check_file
    from heedful.cli._program import typed
    from heedful.cli._reporting import write_page
    from heedful.cli._runs import open_run
    from heedful.errors import ConfigError
    from heedful.report.run_page.page import check_installed

    if output.suffix.lower() != ".html":
        raise ConfigError(f"output must end in .html, got {output.name}")
    check_file(output, force=force)
    check_installed()
    opened = open_run(named(run), task_from)
    second = None if smaller is None else open_run(named(smaller), task_from)
    write_page(
        opened,
        second,
        output,
        command=typed(str(context.obj)),
        lang=lang,
        examples=examples,
        seed=seed,
    )
