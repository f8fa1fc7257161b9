"""`heedful optimize`: spend less attention, keep the quality, prove both."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from heedful.cli._budget import OldHeal, OldKeep
from heedful.cli._options import LONGEST, MOST, AsJson, RunFolder, Seed, TaskFrom
from heedful.cli._program import typed
from heedful.cli._signals import STOPS
from heedful.errors import BudgetError


def optimize(
    context: typer.Context,
    run: RunFolder,
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
    ] = 96,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="New run folder; by default RUN-optimised."
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Tab-separated pairs to judge with, not the run's own test split."
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
        int,
        typer.Option(
            min=0,
            max=MOST,
            metavar="STEPS",
            help="How long the best candidates are trained at the end.",
        ),
    ] = 3000,
    seed: Seed = 0,
    keep: OldKeep = None,
    heal: OldHeal = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Search for the fastest run that keeps the budget; exit code 3 where there is none."""
    from heedful.cli._budget import check_budget, newer
    from heedful.cli._optimizing import optimize_with_progress, refused
    from heedful.cli._output import check_replaced, named
    from heedful.cli._runs import open_run
    from heedful.optimizing.outcome import summary_of
    from heedful.optimizing.run_folder import output_of
    from heedful.optimizing.settings import OptimizeSettings

    run = named(run)
    output = output_of(run, None if output is None else named(output))
    check_replaced(output)
    opened = open_run(run, task_from)
    budget = check_budget(lose, keep, kind=opened.kind)
    steps = newer(finetune_steps, heal, "--heal is now --finetune-steps")
    settings = OptimizeSettings(
        goal=goal, trials=trials, minutes=minutes, final_steps=steps, seed=seed
    )
    try:
        report = optimize_with_progress(
            opened, lose=budget, output=output, test=test, settings=settings
        )
    except BudgetError:
        if as_json:
            typer.echo(json.dumps(summary_of(refused(output)), ensure_ascii=False))
        raise
    except STOPS:
        typer.echo(f"Go on with: {typed(str(context.obj))}", err=True)
        raise
    if as_json:
        typer.echo(json.dumps(summary_of(report), ensure_ascii=False))
    else:
        show_outcome(report)


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
