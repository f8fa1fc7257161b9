"""`heedful demo`: train, measure, look at and optimise a small translator in minutes."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.errors import ConfigError

if TYPE_CHECKING:
    from heedful.data.alignment import Alignment

SENTENCES = (
    "Friday, March 5, 2027, 4:30 PM",
    "in 3 days",
    "5 hours ago",
    "Japan, Chile, and South Korea",
    "20 kilometers per hour",
)


def demo(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="RUN", help="New run folder.")
    ] = Path("runs/demo"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train.")] = 3.75,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another translator.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with RUN.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete RUN and train anew.")] = False,
    keep: Annotated[
        str, typer.Option(metavar="BUDGET", help="What optimising may lose; '' leaves it out.")
    ] = "chrf >= -0.5",
) -> None:
    """Train an English-Chinese translator, measure it, look inside, spend less attention."""
    smaller = output.with_name(f"{output.name}-optimised")
    make_room(output, resume=resume, force=force)
    if keep:
        make_room_beside(smaller, resume=resume, force=force)
    from heedful.cli._training import run_training
    from heedful.cli.evaluate import show_report
    from heedful.cli.progress import working
    from heedful.config_file import parse_config
    from heedful.evaluation import evaluate

    settings = {"seed": seed, "output": str(output), "train": {"minutes": minutes}}
    config = None if resume else parse_config(settings, name="demo")
    run, _ = run_training(config, resume=output if resume else None)
    with working("evaluating on the test split"):
        report = evaluate(run, split="test").to_json()
    show_report(report)
    translations = run.translator.translate(list(SENTENCES))
    for text, translation in zip(SENTENCES, translations, strict=True):
        typer.echo(f"{text} → {translation}")
    _draw(run.translator.align(SENTENCES[0], translations[0]))
    if keep and not smaller.exists():
        _optimise(output, keep, smaller, seed)
    typer.echo(
        f"\nThe run is in {output}{f', the smaller one in {smaller}' if keep else ''}. Next:\n"
        f'  heedful predict {output} "{SENTENCES[2]}" --attention\n'
        f'  heedful predict {output} "{SENTENCES[2]}" -o attention.html\n'
        "  heedful new translation -o translate.toml    # train on texts of your own"
    )


def make_room(output: Path, *, resume: bool, force: bool) -> None:
    """Leave the folder as the choices say; nothing is overwritten without `force`.

    Raises:
        ConfigError: The choices do not fit what is there.
    """
    if resume and force:
        raise ConfigError("--resume and --force must not stand together, got both")
    is_run = (output / "run.json").is_file()
    if resume:
        if not is_run:
            raise ConfigError(f"--resume must find a run, got none in {output}")
    elif output.exists() and not (output.is_dir() and not any(output.iterdir())):
        if force and is_run:
            shutil.rmtree(output)
        elif force:
            raise ConfigError(f"--force deletes runs only and must find one, got {output}")
        else:
            choices = "Go on with --resume, choose another --output, or replace it with --force."
            other = "Choose another --output."
            raise ConfigError(
                f"output must be a new or an empty folder, got {output}, "
                f"{'which holds a run' if is_run else 'which is something else'}. "
                f"{choices if is_run else other}"
            )


def make_room_beside(smaller: Path, *, resume: bool, force: bool) -> None:
    """Leave the folder of the optimised run as the choices say, before anything is trained.

    Raises:
        ConfigError: It is there, and neither choice says what to do about it.
    """
    if not smaller.exists() or resume:
        return
    if not force or not (smaller / "report.json").is_file():
        raise ConfigError(
            f"the place of the optimised run must be free, got {smaller}. "
            "Choose another --output, or replace it with --force."
        )
    shutil.rmtree(smaller)


def _optimise(run: Path, keep: str, smaller: Path, seed: int) -> None:
    """Optimise and show what came of it; a refusal is an answer too."""
    from heedful.cli._optimizing import optimize_with_progress
    from heedful.cli.optimize import show_outcome
    from heedful.errors import BudgetError
    from heedful.optimizing.settings import Settings

    typer.echo(f"\nNow less attention, with {keep}:", err=True)
    try:
        settings = Settings(seed=seed)
        show_outcome(optimize_with_progress(run, keep=keep, output=smaller, settings=settings))
    except BudgetError as error:
        typer.echo(f"Nothing was optimised: {error}")


def _draw(alignment: "Alignment") -> None:
    from rich.console import Console

    from heedful.report.alignment import render_terminal

    console = Console(highlight=False)
    console.print()
    console.print(render_terminal(alignment, console.width))
