"""`heedful optimize`: spend less attention, keep the quality, prove both."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from heedful.cli._budget import OldHeal, OldKeep
from heedful.cli._checkpoints import Columns, DataFile
from heedful.cli._options import LONGEST, MOST, AsJson, RunOrCheckpoint, Seed, TaskFrom
from heedful.cli._program import typed
from heedful.cli._signals import STOPS
from heedful.cli._workers import together_of
from heedful.errors import BudgetError
from heedful.files import named
from heedful.texts import json_of

RUN_STEPS, CHECKPOINT_STEPS = 3000, 300  # of fine-tuning: what was trained for long needs few

Search = Callable[..., dict[str, Any]]


def optimize(
    context: typer.Context,
    run: RunOrCheckpoint,
    *,
    lose: Annotated[
        str | None,
        typer.Option(metavar="BUDGET", help="What may be lost, e.g. 'chrf 0.5' or 'loss 2%'."),
    ] = None,
    goal: Annotated[
        Literal["latency", "memory", "macs"], typer.Option("--for", help="What is to be saved.")
    ] = "latency",
    trials: Annotated[
        int,
        typer.Option(
            min=1, max=MOST, metavar="COUNT", help="How many plans are tried on the model."
        ),
    ] = 64,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="New run folder; by default RUN-optimised."
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Examples to judge with, not the run's own test split."),
    ] = None,
    data: DataFile = None,
    column: Columns = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Of a checkpoint: your own metric, one number for each example of the batches.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=LONGEST,
            metavar="MINUTES",
            help="For all of it; the best that was verified by then is the answer.",
        ),
    ] = None,
    finetune_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST,
            metavar="STEPS",
            help="How long the best candidates are trained at the end; 3000, of a checkpoint 300.",
        ),
    ] = None,
    loadable: Annotated[
        Literal["heedful", "transformers"],
        typer.Option(
            help="Of a checkpoint: who can open the result; transformers means a plain checkpoint."
        ),
    ] = "heedful",
    seed: Seed = 0,
    workers: Annotated[
        int, typer.Option(min=1, max=1_024, help="How many processes share the work here.")
    ] = 1,
    join: Annotated[
        bool, typer.Option("--join", help="Take part in the search, if another command is at it.")
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Database of what is shared, e.g. postgresql://...; else a file."
        ),
    ] = None,
    keep: OldKeep = None,
    heal: OldHeal = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Search for the fastest model that keeps the budget; exit code 3 where there is none."""
    from heedful.cli._budget import newer
    from heedful.cli._checkpoints import check_run, data_of, how_to_open, takes_checkpoint
    from heedful.cli._optimizing import refused
    from heedful.cli._output import check_replaced
    from heedful.optimizing.clock import Clock

    clock = Clock(minutes)  # before what takes long to load
    from heedful.optimizing.into_folder import output_of
    from heedful.optimizing.settings import OptimizeSettings

    run = named(run)
    output = output_of(run, output)
    check_replaced(output)
    of_checkpoint = takes_checkpoint(run)
    if of_checkpoint:
        search = _search_checkpoint(run, lose, keep, data_of(data, column, test), quality)
    else:
        check_run(run, data=data, column=column, quality=quality, loadable=loadable != "heedful")
        search = _search_run(run, lose, keep, test, task_from)
    steps = newer(finetune_steps, heal, "--heal is now --finetune-steps")
    if steps is None:
        steps = CHECKPOINT_STEPS if of_checkpoint else RUN_STEPS
    settings = OptimizeSettings(
        goal=goal, seed=seed, loadable=loadable, trials=trials, minutes=minutes, final_steps=steps
    )
    together = together_of(workers, join, storage, str(context.obj))
    try:
        report = search(output=output, settings=settings, clock=clock, together=together)
    except BudgetError:
        if as_json:
            _print_summary(refused(output))
        raise
    except STOPS:
        typer.echo(f"Go on with: {typed(str(context.obj))}", err=True)
        raise
    (_print_summary if as_json else show_outcome)(report)
    if of_checkpoint and not as_json:
        typer.echo(how_to_open(output))


def _print_summary(report: dict[str, Any]) -> None:
    from heedful.optimizing.outcome import summary_of

    typer.echo(json_of(summary_of(report)))


def _search_run(
    run: Path, lose: str | None, keep: str | None, test: Path | None, task_from: str | None
) -> Search:
    from heedful.cli._budget import check_budget
    from heedful.cli._optimizing import optimize_with_progress
    from heedful.cli._runs import open_run

    opened = open_run(run, task_from)
    budget = check_budget(lose, keep, kind=opened.kind)
    return partial(optimize_with_progress, opened, lose=budget, test=test)


def _search_checkpoint(
    folder: Path, lose: str | None, keep: str | None, data: Any, quality: str | None
) -> Search:
    from heedful.cli._budget import budget_of
    from heedful.cli._checkpoints import quality_of
    from heedful.cli._optimizing import checkpoint_with_progress

    budget, own = budget_of(lose, keep), quality_of(quality)
    return partial(checkpoint_with_progress, folder, data, lose=budget, quality=own)


def show_outcome(report: dict[str, Any]) -> None:
    """Print a report for people: what was saved, what it cost, and what each site became."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    numbers = Table(title="before and after", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("", "before", "after", ""):
        numbers.add_column(heading, justify="right" if heading else "left")
    quality, latency = report["quality"], report["latency_ms"]
    if quality["before"] is not None:
        allowed = f"surely {quality['bound'] - 0:+.3g} or better, {quality['budget']:+.3g} allowed"
        row = f"{quality['metric']} ({quality['split']})"
        numbers.add_row(row, f"{quality['before']:.2f}", f"{quality['after']:.2f}", allowed)
    trained = report.get("finetuned_original")  # reports of older versions have none
    if isinstance(trained, dict):
        found = cast(dict[str, Any], trained)["against"]
        both = f"{found['before']:.2f}", f"{found['after']:.2f}"
        gap = f"{found['difference']:+.3g}, surely {found['bound']:+.3g} or better"
        numbers.add_row("the original fine-tuned as long", *both, gap)
    speed = f"{report['speedup']:.2f}x faster"
    numbers.add_row("work, ms", f"{latency['before']:,.1f}", f"{latency['after']:,.1f}", speed)
    for name, title in (
        ("attention_operations", "attention operations"),
        ("parameters", "parameters"),
    ):
        before, after = report[name]["before"], report[name]["after"]
        fewer = f"{before / after:.2f}x fewer" if after else ""
        numbers.add_row(title, f"{before:,}", f"{after:,}", fewer)
    console.print(numbers)
    sites = Table(title="attention, heads x size", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("site", "share of the work", "before", "after"):
        sites.add_column(heading)
    for site in report["sites"]:
        share = f"{site['cost_share']:.0%}"
        sites.add_row(escape(site["name"]), share, site["before"], site["after"])
    for name, reason in report["not_adaptable"].items():
        sites.add_row(escape(name), "", "", f"not adaptable: {escape(reason)}")
    console.print(sites)
    console.print(f"{report['reason'].removesuffix('.')}.", markup=False)
