"""`heedful apply`: make the moves of a plan on a run."""

from pathlib import Path
from typing import Annotated

import typer


def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="TOML file of a plan.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder written by `heedful train`.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="New run folder.")],
    distil: Annotated[
        int, typer.Option(min=0, help="Steps that teach each changed site by itself.")
    ] = 0,
    heal: Annotated[int, typer.Option(min=0, help="Steps of healing after that.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
) -> None:
    """Change a run as a plan says, and heal it; nothing is verified. Prints the new folder."""
    from heedful.cli._optimizing import OptimizingProgress
    from heedful.optimizing.run_folder import apply_plan

    with OptimizingProgress() as progress:
        new = apply_plan(
            plan,
            run,
            output=output,
            distil_steps=distil,
            heal_steps=heal,
            seed=seed,
            on_event=progress,
        )
    typer.echo(new.folder)
