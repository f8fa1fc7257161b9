"""`heedful apply`: make the moves of a plan on a run or a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli._budget import OldDistil, OldHeal, newer
from heedful.cli._checkpoints import Columns, DataFile
from heedful.cli._options import MOST, AsJson, RunOrCheckpoint, Seed, TaskFrom
from heedful.files import named
from heedful.texts import json_of


def apply(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="TOML file of a plan.")],
    run: RunOrCheckpoint,
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
    data: DataFile = None,
    column: Columns = None,
    seed: Seed = 0,
    distil: OldDistil = None,
    heal: OldHeal = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Change a run or a checkpoint as a plan says, and fine-tune it; prints the new folder."""
    from heedful.cli._checkpoints import check_run, data_of, takes_checkpoint
    from heedful.cli._optimizing import OptimizingProgress
    from heedful.cli._output import check_replaced
    from heedful.optimizing.planned import PlanSteps

    check_replaced(output)
    steps = PlanSteps(
        distil=newer(distil_steps, distil, "--distil is now --distil-steps"),
        finetune=newer(finetune_steps, heal, "--heal is now --finetune-steps"),
        seed=seed,
    )
    run, output = named(run), named(output)
    with OptimizingProgress() as progress:
        if takes_checkpoint(run):
            from heedful.checkpoints.apply import apply_to_checkpoint

            where = data_of(data, column)
            apply_to_checkpoint(plan, run, where, output=output, steps=steps, on_event=progress)
        else:
            from heedful.cli._runs import open_run
            from heedful.optimizing.run_folder import apply_plan

            check_run(run, data=data, column=column)
            apply_plan(
                plan,
                open_run(run, task_from),
                output=output,
                distil_steps=steps.distil,
                finetune_steps=steps.finetune,
                seed=seed,
                on_event=progress,
            )
    typer.echo(json_of({"run": str(output)}) if as_json else output)
