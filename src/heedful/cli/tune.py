"""`heedful tune`: search at train time for the cheapest model that is good enough."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heedful.cli._options import LONGEST, MOST, AsJson, TaskFrom
from heedful.cli._program import again, own_task, typed
from heedful.cli._signals import STOPS
from heedful.errors import BudgetError
from heedful.files import named
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.config.base import TaskConfig
    from heedful.tuning import Goal, Trial, Tuned
    from heedful.tuning.scheduler import Callback

PRUNED = {"slow": "it learns too slowly", "cost": "it costs no less than the best"}


def tune(
    context: typer.Context,
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file; `heedful new` writes one.")
    ],
    *,
    keep: Annotated[str, typer.Option(metavar="LIMIT", help="Quality on dev, e.g. 'chrf >= 95'.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="New folder of the search; by default runs/NAME-tuned.",
        ),
    ] = None,
    cost: Annotated[
        Literal["macs", "latency", "parameters"],
        typer.Option("--for", help="What should become small."),
    ] = "macs",
    trials: Annotated[int, typer.Option(min=1, max=MOST, help="How many trainings at most.")] = 30,
    workers: Annotated[int, typer.Option(min=1, help="How many trainings at the same time.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=LONGEST,
            metavar="MINUTES",
            help="How long one training takes; by default as configured.",
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="What is tried, e.g. heads=1,2,4 or learning_rate=1e-3..1e-2.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of all trainings."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the search in OUT, or take part in it."),
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Database of what was tried, e.g. postgresql://...; else a file."
        ),
    ] = None,
    as_json: AsJson = False,
    task_from: TaskFrom = None,
) -> None:
    """Train many variants of a config; find the cheapest that keeps the quality."""
    from heedful.cli._output import check_folder
    from heedful.tasks.catalog import find_task, load_config
    from heedful.tuning import Goal, default_space, parse_keep
    from heedful.tuning import tune as find
    from heedful.tuning.search_text import parse_space

    goal = Goal(keep=parse_keep(keep), cost=cost)
    output = Path("runs") / f"{config.stem}-tuned" if output is None else named(output)
    check_folder(output)
    loaded = load_config(config, overrides=list(settings or ()), source=task_from)
    base = with_minutes(loaded, minutes)
    monitor = find_task(base.task, source=task_from).monitor
    space = parse_space(search, base) if search else default_space(base)
    try:
        with progress(goal, trials, monitor, old=output if resume else None) as callback:
            found = find(
                base,
                goal=goal,
                output=output,
                space=space,
                trials=trials,
                workers=workers,
                resume=resume,
                on_trial=callback,
                storage=storage,
                task=task_from,
            )
    except BudgetError:
        if as_json:
            typer.echo((output / "trials.json").read_text(encoding="utf-8"), nl=False)
        raise
    except STOPS:
        typer.echo(
            f"Go on with: {typed(str(context.obj))}{'' if resume else ' --resume'}", err=True
        )
        raise
    if as_json:
        typer.echo(json_of(found.plain, indent=1))
    else:
        typer.echo("\n".join(summary(found, goal, task_from)))


def with_minutes(config: "TaskConfig", minutes: float | None) -> "TaskConfig":
    """The config with another limit of time; other limits stay."""
    if minutes is None:
        return config
    train = config.train.model_copy(update={"minutes": minutes})
    return config.model_copy(update={"train": train})


@contextmanager
def progress(
    goal: "Goal", trials: int, monitor: str, *, old: Path | None = None
) -> "Generator[Callback]":
    """Tell on stderr of every trial that has ended; on a terminal something moves meanwhile.

    Args:
        goal: Of the search.
        trials: How many there are at most.
        monitor: The score that prunes.
        old: The folder of a search that is gone on with.
    """
    from rich.console import Console

    from heedful.cli.progress import on_terminal
    from heedful.tuning.folder import told_before

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def tell(trial: "Trial", best: "Trial | None") -> None:
        console.print(line(trial, best, goal, trials=trials, monitor=monitor), markup=False)

    text = f"searching for the fewest {goal.unit} with {goal.keep}"
    if old is not None:
        console.print(f"going on behind {told_before(old)} of {trials} trials", markup=False)
    if on_terminal():
        with console.status(text):
            yield tell
        return
    console.print(text, markup=False)
    yield tell


def line(trial: "Trial", best: "Trial | None", goal: "Goal", *, trials: int, monitor: str) -> str:
    """One line about a trial that has ended."""
    from heedful.tuning.folder import outcome

    so_far = "none is feasible so far" if best is None else f"best so far: {best.number}"
    if trial.state == "complete":
        words = f"{outcome(trial, goal)}  {'feasible' if trial.feasible else 'not feasible'}"
    elif trial.state == "pruned":
        share, score = trial.curve[-1] if trial.curve else (0.0, None)
        measured = "" if score is None else f" with {monitor} {score:.3f}"
        words = f"pruned, {PRUNED.get(str(trial.reason))}, at {share:.0%}{measured}"
    else:
        words = f"failed: {trial.reason}"
    return f"trial {trial.number} of {trials}  {shown(trial.params)}  {words}  ({so_far})"


def shown(params: Mapping[str, Any]) -> str:
    """What was chosen, in short: keys without their table, fractions in three digits."""
    return ", ".join(
        f"{key.partition('.')[2]} {f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in params.items()
    )


def summary(found: "Tuned", goal: "Goal", task_from: str | None = None) -> list[str]:
    """What was found, beside the config as it was, and what to do with it."""
    from heedful.tuning.folder import outcome

    best, first, own = found.best, found.trials[0], own_task(task_from)
    lines = [f"trial {best.number} keeps {goal.keep}: {outcome(best, goal)}"]
    if first.number == 1 and first.number != best.number:
        lines.append(f"trial 1, the first: {outcome(first, goal)}")
    if found.plain.get("exhausted"):
        lines.append("nothing is left that could win: the rest was tried, or costs no less")
    run = found.folder / "trials" / f"{best.number:03}"
    return [
        *lines,
        shown(best.params),
        "Quality was chosen by the dev split; on examples that nobody has chosen by:",
        f"  {again('evaluate', run, *own)}",
        f"Train it again, or longer: {again('train', found.folder / 'best.toml', *own)}",
    ]
