"""`heedful demo`: train, measure, look at and optimise a small translator in minutes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli._budget import OldKeep, check_budget
from heedful.cli._options import Seed
from heedful.cli._program import again
from heedful.errors import ConfigError
from heedful.files import named

if TYPE_CHECKING:
    from heedful.optimizing.budget import Budget
    from heedful.training.run import Run

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
    minutes: Annotated[
        float, typer.Option(min=0.01, metavar="MINUTES", help="How long to train.")
    ] = 3.75,
    seed: Seed = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with RUN.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete RUN and train anew.")] = False,
    lose: Annotated[
        str, typer.Option(metavar="BUDGET", help="What optimising may lose; '' leaves it out.")
    ] = "chrf 0.5",
    keep: OldKeep = None,
) -> None:
    """Train an English-Chinese translator, measure it, look inside, spend less attention."""
    from heedful.cli._output import check_folder

    output = named(output)
    smaller = output.with_name(f"{output.name}-optimised")
    check_folder(output)
    from heedful.tasks.translation.task import Translation

    budget = (
        None if not (lose if keep is None else keep) else check_budget(lose, keep, kind=Translation)
    )
    if budget is not None:
        check_room_beside(smaller, resume=resume, force=force)
    make_room(output, resume=resume, force=force)
    if budget is not None and force:
        _remove(smaller)
    from heedful.cli._training import run_training
    from heedful.tasks.catalog import parse_config

    settings = {"seed": seed, "output": str(output), "train": {"minutes": minutes}}
    config = None if resume else parse_config(settings, name="demo")
    run, _ = run_training(config, resume=output if resume else None)
    _show(run)
    if budget is not None and not _is_run(smaller):
        _optimize(output, budget, smaller, seed)
    _write_page(run, output, replace=resume or force)
    both = f"{output}, the smaller one in {smaller}" if _is_run(smaller) else str(output)
    typer.echo(
        f"\nThe run is in {both}. Next:\n"
        f'  {again("predict", output)} "{SENTENCES[2]}" --attention\n'
        f'  {again("predict", output)} "{SENTENCES[2]}" -o attention.html\n'
        f"  {again('new', 'translation')} -o translate.toml    # train on texts of your own"
    )


def _show(run: "Run") -> None:
    """Say what a run is worth, answer with it, and draw where it looked."""
    from heedful.cli._pictures import draw
    from heedful.cli.evaluate import show_report
    from heedful.cli.predict import answers
    from heedful.cli.progress import working
    from heedful.evaluation import evaluate

    with working("evaluating on the test split"):
        report = evaluate(run, split="test")
    show_report(report, run.kind)
    found = [each for each in answers(run.task, run.model, list(SENTENCES)) if each is not None]
    for text, (_, answer) in zip(SENTENCES, found, strict=True):
        typer.echo(f"{text} → {run.task.show(answer)}")
    typer.echo("")
    picture = run.task.picture(run.model, *found[0])
    if picture is not None:  # of a run that was gone on with, and has no attention
        draw(picture, stderr=False)


def _write_page(run: "Run", folder: Path, *, replace: bool) -> None:
    """Write the page beside the run, where what writes it is installed and nothing else stands."""
    from heedful.cli._output import check_file
    from heedful.cli._reporting import write_page
    from heedful.errors import MissingExtraError
    from heedful.report.run_page.page import check_installed

    page = folder.with_name(f"{folder.name}.html")
    try:
        check_file(page, force=replace)
        check_installed()
    except (ConfigError, MissingExtraError) as error:
        typer.echo(f"No page was written: {error}", err=True)
        return
    write_page(run, None, page, command=again("report", folder, "-o", page))


def make_room(output: Path, *, resume: bool, force: bool) -> None:
    """Leave the folder as the choices say; nothing is overwritten without `force`.

    Raises:
        ConfigError: The choices do not fit what is there.
    """
    if resume and force:
        raise ConfigError("--resume and --force must not stand together, got both")
    from heedful.locks import is_unused

    is_run = _is_run(output)
    if resume:
        if not is_run:
            raise ConfigError(f"--resume must find a run, got none in {output}")
    elif not is_unused(output):
        if force and is_run:
            _remove(output)
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


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").is_file()


def _remove(folder: Path) -> None:
    """Delete a folder of ours, never through a link; one that is not there is fine.

    Raises:
        ConfigError: It is a link, or the current folder, or holds anything that heedful never
            writes into a run.
        RunError: Somebody trains in it.
    """
    if folder.is_symlink():
        raise ConfigError(f"--force deletes folders and never follows links, got the link {folder}")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise ConfigError(f"--force must not delete the current folder, got {folder}")
    if not folder.exists():
        return
    from heedful.locks import hold
    from heedful.removal import remove_written
    from heedful.tasks.translation.task import Translation
    from heedful.training.layout import written

    with hold(folder):
        pass  # nobody else does
    if not remove_written(folder, written(Translation)):
        raise ConfigError(f"--force deletes runs alone, got {folder}, which holds something else")


def check_room_beside(smaller: Path, *, resume: bool, force: bool) -> None:
    """Check the place of the optimised run before anything is deleted or trained.

    Raises:
        ConfigError: It is taken, and neither choice says what to do about it.
    """
    if not os.path.lexists(smaller) or resume:
        return
    if not force or not (smaller / "report.json").is_file():
        raise ConfigError(
            f"the place of the optimised run must be free, got {smaller}. "
            "Choose another --output, or replace it with --force."
        )


def _optimize(run: Path, budget: "Budget", smaller: Path, seed: int) -> None:
    """Optimise and show what came of it; a refusal is an answer too."""
    from heedful.cli._optimizing import optimize_with_progress
    from heedful.cli.optimize import show_outcome
    from heedful.errors import BudgetError
    from heedful.optimizing.settings import OptimizeSettings

    typer.echo(f"\nNow less attention, losing at most {budget}:", err=True)
    try:
        settings = OptimizeSettings(seed=seed)
        show_outcome(optimize_with_progress(run, lose=budget, output=smaller, settings=settings))
    except BudgetError as error:
        typer.echo(f"Nothing was optimised: {error}")
