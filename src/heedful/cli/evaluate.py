"""`heedful evaluate`: what a run is worth."""

import json
from typing import Annotated, Any, Literal

import typer

from heedful.cli._options import AsJson, Beam, RunFolder

_NOTES = (
    ("too_long", "sources are longer than any that the model was trained with (data.max_length)"),
    ("cut", "translations had not ended where decode.max_length cuts them off"),
)
_SCORES = ("exact_match", "chrf", "bleu", "token_accuracy")


def evaluate(
    run: RunFolder,
    *,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Held-out examples.")] = "test",
    beam: Beam = None,
    as_json: AsJson = False,
) -> None:
    """Translate a held-out split and compare it with its references."""
    from heedful.cli._runs import open_run
    from heedful.cli.progress import working
    from heedful.evaluation import evaluate as measure

    with working(f"evaluating {run} on the {split} split"):
        report = measure(open_run(run), split=split, beam=beam).to_json()
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        show_report(report)


def show_report(report: dict[str, Any]) -> None:
    """Print a report for people: scores with their intervals, then each kind of example."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    title = f"{report['run']}: {report['examples']:,} {report['split']} examples"
    table = Table("score", "%", "95 % interval", title=escape(title), box=box.SIMPLE)
    for name in _SCORES:
        low, high = report[f"{name}_interval"]
        table.add_row(name.replace("_", " "), f"{report[name]:.1f}", f"{low:.1f} to {high:.1f}")
    console.print(table)
    if report["by_kind"]:
        kinds = Table("kind", "examples", "exact match", "chrf", box=box.SIMPLE)
        for kind, scores in report["by_kind"].items():
            values = (f"{scores['exact_match']:.1f}", f"{scores['chrf']:.1f}")
            kinds.add_row(escape(kind), f"{scores['examples']:,}", *values)
        console.print(kinds)
    peak = report["peak_memory_mib"]
    memory = "memory unknown here" if peak is None else f"{peak:,.0f} MiB at most"
    console.print(
        f"{report['tokens_per_second']:,.0f} tokens/s, {report['seconds']:.1f} s, {memory}"
    )
    # left out of older reports; worth a line only where there is something to know
    for name, words in _NOTES:
        if report.get(name):
            console.print(f"{report[name]:,} {words}")
