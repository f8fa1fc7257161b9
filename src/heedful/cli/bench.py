"""`heedful bench`: what something costs on this machine, side by side with the plain way."""

from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heedful.cli._bench_tasks import show_tasks
from heedful.cli._options import LONGEST, AsJson, Force
from heedful.cli._output import check_file
from heedful.cli._tables import print_rows
from heedful.errors import ConfigError
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.bench.attention.row import Measurement


MOST_THREADS = 4_096


def bench(
    context: typer.Context,
    what: Annotated[
        Literal["mechanisms", "attention", "tasks"],
        typer.Argument(help="What to compare: all mechanisms, heedful.attend, or all tasks."),
    ],
    *,
    lengths: Annotated[
        str | None, typer.Option(help="mechanisms: text lengths, e.g. 128,1024.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="mechanisms, tasks: some of them, e.g. linear,window or control."),
    ] = None,
    cases: Annotated[
        str | None, typer.Option(help="attention: some cases, e.g. dense,causal,decode.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="attention: numbers of threads, e.g. 1,2.")
    ] = None,
    impl: Annotated[str | None, typer.Option(help="attention: one kernel, e.g. cpu.")] = None,
    flex: Annotated[
        bool, typer.Option("--flex", help="attention: compile FlexAttention beside, slowly.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=LONGEST, help="tasks: how long each model is trained; by default 1."
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.01, max=LONGEST, help="About how long each is measured at each length."),
    ] = 2.0,
    optimize: Annotated[
        bool,
        typer.Option(
            "--optimize", help="tasks: optimise the first model of each, in a second table."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="mechanisms: an .html page with pictures."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare attention with plain attention, or models of every task with each other.

    `mechanisms` compares all of them at all lengths in about half an hour; --only and --lengths
    make it shorter. `attention` compares heedful.attend with PyTorch's attention in cases: dense,
    causal, backward, sparse, select, decode, sweep, small and overhead. All of them take about a
    quarter of an hour; --cases makes it shorter. `tasks` trains every model of every task on its
    built-in data for --minutes, and measures it on the test split, beside baselines without a
    network and, where the task has one, on data from elsewhere.
    """
    of_mechanisms = {"lengths": lengths, "output": output}
    of_attention = {"cases": cases, "threads": threads, "impl": impl, "flex": flex or None}
    if what != "tasks":
        _refuse({"minutes": minutes, "optimize": optimize or None}, "tasks", what)
    if what == "tasks":
        _refuse(of_attention | of_mechanisms, "attention or mechanisms", what)
        names = None if only is None else only.split(",")
        show_tasks(names, minutes or 1.0, optimize=optimize, as_json=as_json)
    elif what == "mechanisms":
        _refuse(of_attention, "attention", what)
        chosen = None if lengths is None else _numbers("lengths", lengths)
        page = None if output is None else (output, str(context.obj))
        names = None if only is None else only.split(",")
        _mechanisms(chosen, names, seconds, page, force=force, as_json=as_json)
    else:
        _refuse(of_mechanisms | {"only": only}, "mechanisms", what)
        counts = None if threads is None else _numbers("threads", threads)
        names = None if cases is None else cases.split(",")
        settings = {"impl": impl or "auto", "flex": flex, "seconds": seconds}
        _attention(names, counts, settings, as_json)


def _refuse(options: dict[str, Any], of: str, got: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name} must go with `heedful bench {of}`, got {got}")


def _numbers(name: str, text: str) -> tuple[int, ...]:
    return tuple(_number(name, word) for word in text.split(","))


def _number(name: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ConfigError(f"{name} must be whole numbers, got {word!r}") from None


# ---- mechanisms ----------------------------------------------------------------------------------


def _mechanisms(
    lengths: tuple[int, ...] | None,
    only: list[str] | None,
    seconds: float,
    page: tuple[Path, str] | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    from heedful.bench.mechanisms import LENGTHS, Comparison, Size, compare
    from heedful.cli.progress import working
    from heedful.report._page import libraries

    if page is not None:
        if page[0].suffix.lower() != ".html":
            raise ConfigError(f"output must end in .html, got {page[0].name}")
        check_file(page[0], force=force)
        libraries()  # before anything is measured
    with working("measuring") as tell:
        comparison: Comparison = compare(
            lengths=LENGTHS if lengths is None else lengths,
            mechanisms=only,
            size=Size(seconds=seconds),
            on_progress=lambda mechanism, length: tell(f"{mechanism} at {length}"),
        )
    data = comparison.to_json()
    if page is not None:
        from heedful.report.mechanisms import write_mechanisms

        write_mechanisms(data, page[0], command=page[1])
        typer.echo(f"written to {page[0]}", err=True)
    if as_json:
        typer.echo(json_of(data, indent=2))
    else:
        _show_mechanisms(data)


def _show_mechanisms(data: dict[str, Any]) -> None:
    from rich.console import Console

    from heedful.report.mechanisms import losers, summary, with_factors

    rows = summary(with_factors(data["cells"]))
    longest = max((row["longest"] for row in rows), key=lambda text: int(text.replace(",", "")))
    for row in rows:
        if row["longest"] != longest:  # left out beyond that
            row["mechanism"] += f" (to {row['longest']})"
        del row["longest"]
    console = Console(highlight=False)
    title = f"times plain attention: faster from which length on, and how much at {longest}"
    print_rows(console, title, rows)
    console.print(
        f"{losers(rows)} of {len(rows) - 1} are slower than plain attention at every length, "
        "forward and backward: where only speed counts, plain attention wins there."
    )


# ---- attention -----------------------------------------------------------------------------------


def _attention(
    cases: list[str] | None,
    threads: tuple[int, ...] | None,
    settings: dict[str, Any],
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from heedful.bench.attention.cases import groups
    from heedful.bench.attention.measure import MeasureSettings, measure
    from heedful.bench.attention.rates import MatrixRates
    from heedful.cli.progress import working

    for number in threads or ():
        if not 1 <= number <= MOST_THREADS:
            raise ConfigError(
                f"threads must be at least 1 and at most {MOST_THREADS}, got {number}"
            )
    chosen, rates = groups(cases), MatrixRates()
    number, total = count(1), len(chosen) * len(threads or (0,))
    with working("measuring") as tell:
        measured = measure(
            chosen,
            threads=threads,
            settings=MeasureSettings(**settings),
            on_progress=lambda text: tell(f"{next(number)} of {total}: {text}"),
            rates=rates,
        )
    if as_json:
        typer.echo(json_of([asdict(one.row) for one in measured], indent=2))
    else:
        _show_attention(measured, rates.words())


def _show_attention(measured: "list[Measurement]", rates: list[str]) -> None:
    from rich.console import Console

    from heedful.bench.attention.table import columns, shared_values, summary, without_empty
    from heedful.bench.environment import environment

    console, here = Console(highlight=False), environment()
    for name, rows in groupby(measured, key=lambda one: one.row.case):
        print_rows(console, *shared_values(name, without_empty([columns(one) for one in rows])))
    versions = ", ".join(f"{package} {number}" for package, number in here.versions.items())
    for line in (*summary(measured), *rates):
        console.print(line, markup=False)
    console.print(f"{here.processor}, {here.instructions}; {versions}", markup=False)
