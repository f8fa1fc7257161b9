"""`heedful profile`: what attention costs, and which of it matters."""

from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli._checkpoints import Columns, DataFile
from heedful.cli._options import MOST, AsJson, Force, Seed, TaskFrom
from heedful.cli._output import check_file
from heedful.cli._outside import users_code
from heedful.cli._tables import print_table, table
from heedful.errors import ConfigError
from heedful.files import named
from heedful.texts import json_of

BARS = "▁▂▃▄▅▆▇█"
MIB = 2**20
SINKS = 12  # rows of their table


def profile(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FOLDER|MODULE:FUNCTION",
            help="A run, a checkpoint of Hugging Face, or a function that returns "
            "(model, batches).",
        ),
    ],
    *,
    data: DataFile = None,
    column: Columns = None,
    leave_out: Annotated[
        int, typer.Option(min=0, max=MOST, help="Heads that are left out one by one, at most.")
    ] = 64,
    key_block: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Keys in a block; 64, or fewer for short texts."),
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Say what attention takes of the work, part by part, and how much each head matters."""
    from heedful.cli.progress import working

    if output is not None:
        check_file(output, force=force)
    settings = {"leave_out": leave_out, "key_block": key_block, "seed": seed}
    with working(f"profiling {target}") as tell:
        found = _profiled(target, task_from, data, column, {**settings, "on_progress": tell})
    if output is not None:
        from heedful.files import write_json

        write_json(output, found)
    if as_json:
        typer.echo(json_of(found))
    else:
        show_profile(found)


def _profiled(
    target: str,
    task_from: str | None,
    data: Path | None,
    column: list[str] | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    from heedful.cli._checkpoints import check_run, data_of, takes_checkpoint
    from heedful.cli._runs import open_run
    from heedful.profiling import profile as profiling

    folder = named(Path(target))
    if Path(target).exists() and takes_checkpoint(folder):
        from heedful.checkpoints.profile import profile_checkpoint

        where = data_of(data, column) if data or column else None
        found = profile_checkpoint(folder, where, **settings)
        return {"target": target, **found.to_json()}
    check_run(folder, data=data, column=column)
    if ":" not in target or Path(target).exists():
        found = profiling.profile_run(open_run(folder, task_from), **settings)
    else:
        model, batches = _made(target)
        with users_code(target, "return a model that takes its batches"):
            found = profiling.profile(model, batches, **settings)
    return {"target": target, **found.to_json()}


def _made(target: str) -> tuple[Any, Any]:
    """What a function of the user's makes: a model and its batches."""
    from heedful.testing.targets import find_target

    function = find_target(target)
    if not callable(function):
        raise ConfigError(f"{target} must be a function, got {type(function).__name__}")
    with users_code(target, "run without arguments"):
        made: Any = function()
    if not isinstance(made, tuple) or len(made) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise ConfigError(f"{target} must return (model, batches), got {type(made).__name__}")
    return made


def show_profile(found: dict[str, Any]) -> None:
    """Print a profile for people: the whole, what each site costs, and what its heads do."""
    from rich.console import Console

    console = Console(highlight=False)
    _show_findings(console, found)
    _show_costs(console, found)
    _show_heads(console, found)
    _show_sinks(console, found)
    for name, reason in found["not_adaptable"].items():
        console.print(f"{name}: not adaptable, {reason}", markup=False)
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


def _show_findings(console: Any, found: dict[str, Any]) -> None:
    """What could be faster at once, before anything is cut."""
    for finding in found["findings"]:
        console.print(f"free: {finding['text']}.", markup=False)
        console.print(f"      {finding['remedy']}", markup=False, style="dim", soft_wrap=True)
    if found["findings"]:
        console.print()


def _show_costs(console: Any, found: dict[str, Any]) -> None:
    time = table("where the time goes, in ms", ("site", "heads"))
    for heading in ("share", "ms", "projections", "mixing"):
        time.add_column(heading, justify="right", no_wrap=True)
    work = table("what is computed and kept, multiply-adds in millions", ("site",))
    for heading in ("projections", "scores", "sums", "parameters", "KV bytes"):
        work.add_column(heading, justify="right", no_wrap=True)
    for site in found["sites"]:
        name, spent, counted = _escaped(site["name"]), site["milliseconds"], site["multiply_adds"]
        spent = (spent["projections"] + spent["mixing"], spent["projections"], spent["mixing"])
        share = f"{site['share']:.0%}"
        time.add_row(name, site["geometry"], share, *(f"{value:,.2f}" for value in spent))
        millions = (f"{value / 1e6:,.2f}" for value in counted.values())
        work.add_row(name, *millions, f"{site['parameters']:,}", f"{site['kv_bytes']:,}")
    whole = found["whole"]
    share = f"{1 - whole['attention_share']:.0%}"
    time.add_row("all else", "", share, f"{whole['rest_milliseconds']:,.2f}", "", "")
    print_table(console, time)
    print_table(console, work)
    _legend(
        console,
        "heads: how many, on how many of keys and values, x the size of one. projections: to "
        "queries, keys and values, and back. mixing: scores, softmax and weighted sums.",
    )


def _show_heads(console: Any, found: dict[str, Any]) -> None:
    heads_do = table("what heads do, mean over the heads of a site", ("site", "importance"))
    where = ("own", "near", "first", "far")
    for heading in ("keys", *where, "q.k", "v.o"):
        heads_do.add_column(heading, justify="right", no_wrap=True)
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
        heads_do.add_row(
            _escaped(site["name"]),
            bars[site["name"]],
            "" if keys is None else f"{keys:.1f}",
            *("" if mass is None else f"{mass:.0%}" for mass in masses),
            *("" if rank is None else f"{rank:.0f}" for rank in ranks),
        )
    print_table(console, heads_do)
    _legend(
        console,
        "importance: a bar a head, by its place among all heads. keys: how many a query reads, in "
        "effect. own, near, first, far: share of attention that stays in the own block of "
        f"{_keys(found['key_block'])}, goes to those beside it, to the first, and elsewhere. "
        "q.k, v.o: rank that 99 % of a head needs.",
    )


def _show_sinks(console: Any, found: dict[str, Any]) -> None:
    sinks = [
        (site["name"], number, head["look"]["sink"])
        for site in found["sites"]
        for number, head in enumerate(site["heads"])
        if head["look"] is not None and head["look"]["sink"] is not None
    ]
    if not sinks:
        return
    sinks.sort(key=lambda each: -each[2]["mass"])
    more = f", {SINKS} of {len(sinks)}" if len(sinks) > SINKS else ""
    sunk = table(f"keys that a head looks at whatever asks{more}", ("site",))
    for heading in ("head", "key", "mass", "value", "rank", "what it does"):
        sunk.add_column(heading, justify="right", no_wrap=True)
    for name, number, sink in sinks[:SINKS]:
        numbers = [sink["value_norm"], sink["output_rank"]]
        shown = ("" if value is None else f"{value:.2f}" for value in numbers)
        place = (str(number), str(sink["key"]), f"{sink['mass']:.0%}")
        sunk.add_row(_escaped(name), *place, *shown, sink["kind"])
    print_table(console, sunk)
    _legend(
        console,
        "mass: share of all attention. value: norm of the value there, over that of the others. "
        "rank: of all that the head writes. no-op: it adds next to nothing there. broadcast: it "
        "writes the same vector wherever it looks from. mixed: a sink for some queries only.",
    )


def _legend(console: Any, text: str) -> None:
    console.print(text, markup=False, style="dim")
    console.print()


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


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"
