"""`heedful apply`: make the moves of a plan on a run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from heedful.cli._budget import OldDistil, OldHeal, newer
from heedful.cli._options import MOST, AsJson, RunFolder, Seed, TaskFrom


def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="TOML file of a plan.")],
    run: RunFolder,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="New run folder.")],
    distil_steps: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST,
            metavar="STEPS",
            help="First teach each changed site alone, for so many steps.",
        ),
    ] = 0,
    finetune_steps: Annotated[
        int,
        typer.Option(
            min=0, max=MOST, metavar="STEPS", help="Then train the whole model for so many steps."
        ),
    ] = 0,
    seed: Seed = 0,
    distil: OldDistil = None,
    heal: OldHeal = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Change a run as a plan says, and fine-tune it; nothing is verified. Prints the new folder."""
    from heedful.cli._optimizing import OptimizingProgress
    from heedful.cli._output import check_replaced, named
    from heedful.cli._runs import open_run
    from heedful.optimizing.run_folder import apply_plan

    check_replaced(output)
    with OptimizingProgress() as progress:
        new = apply_plan(
            plan,
            open_run(named(run), task_from),
            output=named(output),
            distil_steps=newer(distil_steps, distil, "--distil is now --distil-steps"),
            finetune_steps=newer(finetune_steps, heal, "--heal is now --finetune-steps"),
            seed=seed,
            on_event=progress,
        )
    typer.echo(json.dumps({"run": str(new.folder)}, ensure_ascii=False) if as_json else new.folder)
