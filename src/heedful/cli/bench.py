"""`heedful bench`: what something costs on this machine, side by side with the plain way."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from heedful.errors import ConfigError


def bench(
    context: typer.Context,
    what: Annotated[Literal["mechanisms"], typer.Argument(help="What to compare.")],
    *,
    lengths: Annotated[str | None, typer.Option(help="Text lengths, e.g. 128,1024.")] = None,
    only: Annotated[str | None, typer.Option(help="Some mechanisms, e.g. linear,window.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="About how long to measure each at each length.")
    ] = 2.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="An .html page with pictures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare all attention mechanisms with plain attention: time, memory and error.

    All of them at all lengths take about half an hour; --only and --lengths make it shorter.
    """
    from heedful.bench.mechanisms import LENGTHS, Comparison, Size, compare
    from heedful.cli.progress import working
    from heedful.report._page import libraries

    if output is not None:
        if output.suffix.lower() != ".html":
            raise ConfigError(f"output must end in .html, got {output.name}")
        libraries()  # before anything is measured
    chosen = LENGTHS if lengths is None else tuple(_number(n) for n in lengths.split(","))
    with working("measuring") as tell:
        comparison: Comparison = compare(
            lengths=chosen,
            mechanisms=None if only is None else only.split(","),
            size=Size(seconds=seconds),
            listen=lambda mechanism, length: tell(f"{mechanism} at {length}"),
        )
    data = comparison.to_json()
    if output is not None:
        from heedful.report.mechanisms import write_mechanisms

        write_mechanisms(data, output, command=context.obj)
        typer.echo(f"written to {output}", err=True)
    if as_json:
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        _show(data)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"lengths must be whole numbers, got {text!r}") from None


def _show(data: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from heedful.report.mechanisms import losers, summary, with_factors

    rows = summary(with_factors(data["cells"]))
    longest = max((row["longest"] for row in rows), key=lambda text: int(text.replace(",", "")))
    table = Table(
        title=f"times plain attention: faster from which length on, and how much at {longest}",
        box=box.SIMPLE,
    )
    for row in rows:
        if row["longest"] != longest:  # left out beyond that
            row["mechanism"] += f" (to {row['longest']})"
        del row["longest"]
    for name in rows[0]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{losers(rows)} of {len(rows) - 1} are slower than plain attention at every length, "
        "forward and backward: where only speed counts, plain attention wins there."
    )
