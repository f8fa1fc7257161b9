"""`heedful evaluate`: what a run is worth."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heedful.cli._options import (
    AnswerSettings,
    AsJson,
    Beam,
    RunFolder,
    TaskFrom,
    answer_settings,
)
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.evaluation import Report
    from heedful.tasks.catalog import AnyTask


def evaluate(
    run: RunFolder,
    *,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Held-out examples.")] = "test",
    beam: Beam = None,
    settings: AnswerSettings = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Answer a held-out split and compare the answers with the truth."""
    from heedful.cli._runs import open_run
    from heedful.cli._runtime import loading
    from heedful.cli.progress import working

    with loading():
        from heedful.evaluation import evaluate as measure
    with working(f"evaluating {run} on the {split} split"):
        opened = open_run(run, task_from)
        report = measure(opened, split=split, overrides=answer_settings(settings, beam))
    if as_json:
        typer.echo(json_of(report.to_json(), indent=2))
    else:
        show_report(report, opened.kind)


def show_report(report: "Report", kind: "AnyTask") -> None:
    """Print a report for people: scores with their intervals, then each kind of example."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    title = f"{report.run}: {report.examples:,} {report.split} examples"
    table = Table("score", "", "95 % interval", title=escape(title), box=box.SIMPLE)
    for name, found in report.scores.items():
        unit, places = report.units[name], _places(report, name)
        worse = "" if report.higher_is_better[name] else " (lower is better)"
        table.add_row(
            f"{name.replace('_', ' ')}{worse}",
            f"{found.score:.{places}f} {unit}".strip(),
            f"{found.low:.{places}f} to {found.high:.{places}f}",
        )
    console.print(table)
    if report.by_kind:
        names = [name for name in next(iter(report.by_kind.values())) if name != "examples"]
        headers = [name.replace("_", " ") for name in names]
        kinds = Table("kind", "examples", *headers, box=box.SIMPLE)
        for name, scores in report.by_kind.items():
            values = [f"{scores[each]:.{_places(report, each)}f}" for each in names]
            kinds.add_row(escape(name), f"{scores['examples']:,.0f}", *values)
        console.print(kinds)
    peak = report.peak_memory_mib
    memory = "memory unknown here" if peak is None else f"{peak:,.0f} MiB at most"
    console.print(f"{report.per_second:,.0f} {report.unit}/s, {report.seconds:.1f} s, {memory}")
    for name, count in report.remarks.items():
        if count:  # worth a line only where there is something to know
            console.print(f"{count:,} {kind.remarks.get(name, name)}")


def _places(report: "Report", name: str) -> int:
    return 1 if report.units[name] == "%" else 3
