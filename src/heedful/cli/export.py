"""`heedful export`: a model as a folder that other programs run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli._checkpoints import Columns, DataFile
from heedful.cli._options import AsJson, RunOrCheckpoint, TaskFrom
from heedful.files import named
from heedful.texts import json_of


def export(
    run: RunOrCheckpoint,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="onnx, onnx-int8, torch-export, ctranslate2 or hf."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="New folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an earlier export wrote.")
    ] = False,
    data: DataFile = None,
    column: Columns = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Write a model for other programs, and check that they say what torch says."""
    from heedful.cli._checkpoints import check_run, data_of, takes_checkpoint
    from heedful.cli._output import check_replaced
    from heedful.cli._runtime import loading
    from heedful.cli.progress import working

    run, output = named(run), named(output)
    check_replaced(output)
    if not takes_checkpoint(run):
        check_run(run, data=data, column=column)
    given = data_of(data, column) if data is not None or column else None
    with loading():
        from heedful.exporting.export import export as write
    with working(f"exporting {run} to {to}"):
        about = write(run, to=to, output=output, force=force, task=task_from, data=given)
    if as_json:
        typer.echo(json_of(about))
    else:
        show_export(about, output)


def show_export(about: dict[str, Any], output: Path) -> None:
    """Print what was written, and how far it is from torch."""
    for check in about["checks"]:
        if "graph" not in check:
            same = ", ".join(f"{count} as {kind}" for kind, count in check["same"].items())
            typer.echo(f"{check['phrases']} real phrases: {same} are written the same")
            continue
        typer.echo(
            f"{check['graph']}: {check['cases']} calls with real inputs, at most "
            f"{check['largest_difference']:.2g} from torch (numbers up to "
            f"{check['largest_value']:.3g})"
        )
    typer.echo(output)
