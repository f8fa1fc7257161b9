"""`heedful profile`: what attention costs, and which of it matters."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.errors import ConfigError

BARS = "▁▂▃▄▅▆▇█"
MIB = 2**20


def profile(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODULE:FUNCTION",
            help="Folder of a run, or a function that returns (model, batches).",
        ),
    ],
    *,
    leave_out: Annotated[
        int, typer.Option(min=0, help="Heads that are left out one by one, at most.")
    ] = 64,
    key_block: Annotated[
        int | None, typer.Option(min=1, help="Keys in a block; 64, or fewer for short texts.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what attention takes of the work, part by part, and how much each head matters."""
    from heedful.cli.progress import working

    if output is not None and not output.resolve().parent.is_dir():
        raise ConfigError(f"--output must be in a folder that exists, got {output}")
    settings = {"leave_out": leave_out, "key_block": key_block, "seed": seed}
    with working(f"profiling {target}") as tell:
        found = _profiled(target, {**settings, "listen": tell})
    if output is not None:
        from heedful.files import write_json

        write_json(output, found)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_profile(found)


def _profiled(target: str, settings: dict[str, Any]) -> dict[str, Any]:
    from heedful.optimizing import profiling

    if ":" not in target or Path(target).exists():
        return {"target": target, **profiling.profile_run(target, **settings).to_json()}
    from heedful.testing.targets import find_target

    function = find_target(target)
    if not callable(function):
        raise ConfigError(f"{target} must be a function, got {type(function).__name__}")
    made: Any = function()
    if not isinstance(made, tuple) or len(made) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise ConfigError(f"{target} must return (model, batches), got {type(made).__name__}")
    model, batches = made
    return {"target": target, **profiling.profile(model, batches, **settings).to_json()}


def show_profile(found: dict[str, Any]) -> None:
    """Print a profile for people: the whole, what each site costs, and what its heads do."""
    from rich.console import Console

    console = Console(highlight=False)
    _show_costs(console, found)
    _show_heads(console, found)
    whole = found["whole"]
    peak = whole["peak_bytes"]
    memory = "" if peak is None else f", {peak / MIB:,.1f} MiB at most"
    console.print(
        f"work: {whole['milliseconds']:,.1f} ms, {whole['separated_milliseconds']:,.1f} ms with "
        f"attention in the form that can be changed; {whole['parameters']:,} parameters{memory}"
    )
    agree = found["importance"]
    if agree["fisher"] is not None:
        console.print(
            f"order of {agree['heads']} heads left out one by one: correlation with Fisher "
            f"{agree['fisher']:+.2f}, with the gate gradient {agree['gate_gradient']:+.2f}"
        )
    console.print(f"{found['summary']}.", markup=False)


def _show_costs(console: Any, found: dict[str, Any]) -> None:
    table = _table("what it costs: ms and million multiply-adds, by part")
    columns = ("share", "ms", "projections", "mixing", "M ops", "projections", "scores", "sums")
    for heading in ("site", "heads", *columns, "parameters", "KV bytes"):
        table.add_column(heading, justify="left" if heading in ("site", "heads") else "right")
    for site in found["sites"]:
        spent, counted = site["milliseconds"], site["multiply_adds"]
        time = (spent["projections"] + spent["mixing"], spent["projections"], spent["mixing"])
        counts = (sum(counted.values()), *counted.values())
        table.add_row(
            _escaped(site["name"]),
            site["geometry"],
            f"{site['share']:.0%}",
            *(f"{value:,.2f}" for value in time),
            *(f"{value / 1e6:,.2f}" for value in counts),
            f"{site['parameters']:,}",
            f"{site['kv_bytes']:,}",
        )
    rest = found["whole"]["rest_milliseconds"]
    share = f"{1 - found['whole']['attention_share']:.0%}"
    table.add_row("all else", "", share, f"{rest:,.2f}", *[""] * 8)
    console.print(table)
    for name, reason in found["not_adaptable"].items():
        console.print(f"{name}: not adaptable, {reason}", markup=False)


def _show_heads(console: Any, found: dict[str, Any]) -> None:
    table = _table(f"what heads do: means over heads, blocks of {_keys(found['key_block'])}")
    where = ("own", "near", "first", "far")
    for heading in ("site", "importance", "effective keys", *where, "rank q.k", "rank v.o"):
        table.add_column(heading, justify="left" if heading in ("site", "importance") else "right")
    bars = _bars(found["sites"])
    for site in found["sites"]:
        heads = site["heads"]
        looks = [head["look"] for head in heads if head["look"] is not None]
        keys = _mean([look["effective_keys"] for look in looks])
        masses = [_mean([look[name] for look in looks]) for name in where]
        ranks = [
            _mean([head[name]["rank_99"] for head in heads if head[name] is not None])
            for name in ("query_key", "value_out")
        ]
        table.add_row(
            _escaped(site["name"]),
            bars[site["name"]],
            "" if keys is None else f"{keys:.1f}",
            *("" if mass is None else f"{mass:.0%}" for mass in masses),
            *("" if rank is None else f"{rank:.0f}" for rank in ranks),
        )
    console.print(table)


def _bars(sites: list[dict[str, Any]]) -> dict[str, str]:
    """A bar for each head, as high as its place among all heads of the model by Fisher's score."""
    scores = sorted(head["fisher"] for site in sites for head in site["heads"])
    top = max(1, len(scores) - 1)
    return {
        site["name"]: "".join(
            BARS[scores.index(head["fisher"]) * (len(BARS) - 1) // top] for head in site["heads"]
        )
        for site in sites
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _table(title: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"
