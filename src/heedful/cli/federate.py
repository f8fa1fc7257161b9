"""`heedful federate`: train the network of a run anew by clients that keep their data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli._options import MOST, AsJson, RunFolder
from heedful.files import named
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.training.run import Run


def federate(
    run: RunFolder,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="New run folder.")],
    clients: Annotated[
        int, typer.Option(min=2, max=64, help="How many share the training data of RUN.")
    ] = 2,
    client: Annotated[
        list[Path] | None,
        typer.Option(metavar="TOML", help="A config whose [data] is one client's; repeat it."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=MOST, help="How often to average.")] = 10,
    steps: Annotated[int, typer.Option(min=1, max=MOST, help="Of a client in a round.")] = 50,
    proximal: Annotated[
        float, typer.Option(min=0, metavar="MU", help="FedProx with this mu; 0 is FedAvg.")
    ] = 0.0,
    skew: Annotated[
        float | None,
        typer.Option(metavar="ALPHA", help="Spread labels unevenly: 100 hardly, 0.1 very much."),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Also train each client without the others.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train RUN's network anew by clients that keep their data, on this machine, with Flower."""
    from heedful.cli._output import check_replaced
    from heedful.cli._runs import open_run
    from heedful.cli.progress import working
    from heedful.federated.federate import Federation, federate, train_alone

    check_replaced(output)
    opened = open_run(run, None)
    federation = Federation(
        clients=len(client) if client else clients,
        configs=tuple(client or ()),
        rounds=rounds,
        steps=steps,
        proximal=proximal,
        skew=skew,
    )
    count = federation.clients if alone else 0
    names = [named(output.with_name(f"{output.name}-client-{i}")) for i in range(count)]
    for name in names:
        check_replaced(name)
    found = {"centralised": opened}
    with working("starting Flower") as say:
        found["federated"] = federate(
            opened,
            federation,
            output=named(output),
            on_round=lambda number, of: say(f"round {number} of {of}"),
        )
    for number, name in enumerate(names):
        with working(f"training client {number} alone"):
            made = train_alone(opened, federation, client=number, output=name)
        found[f"client {number} alone"] = made
    show(found, as_json=as_json)


def show(found: dict[str, "Run"], *, as_json: bool) -> None:
    """Print what each run is worth on the test split, where there is one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from heedful.cli.progress import working
    from heedful.evaluation import evaluate
    from heedful.training.splits import shown_split

    split = shown_split(found["centralised"])
    with working(f"measuring on the {split} split"):
        reports = {name: evaluate(run, split=split) for name, run in found.items()}
    first = next(iter(reports["centralised"].scores))
    if as_json:
        scores: dict[str, Any] = {
            name: {
                "run": str(found[name].folder),
                first: report.scores[first].score,
                "low": report.scores[first].low,
                "high": report.scores[first].high,
            }
            for name, report in reports.items()
        }
        typer.echo(json_of({"split": split, **scores}, indent=2))
        return
    table = Table("trained", "run", first.replace("_", " "), "95 % interval", box=box.SIMPLE)
    for name, report in reports.items():
        score = report.scores[first]
        interval = f"{score.low:.1f} to {score.high:.1f}"
        table.add_row(name, str(found[name].folder), f"{score.score:.1f}", interval)
    Console(highlight=False).print(table)
