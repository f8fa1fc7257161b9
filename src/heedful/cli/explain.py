"""`heedful explain`: which pieces of an input an answer rests on, and can that be trusted?"""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heedful.cli._options import MOST, Force, RunOrCheckpoint, Seed, TaskFrom
from heedful.cli._streams import utf8_argument
from heedful.errors import ConfigError
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.explaining.explanation import Explanation
    from heedful.explaining.pass_rate import PassRate
    from heedful.tasks.base import Task

DRAWS = 200
# what an option names, and as what tasks take it
KINDS = {"--text": ("text", "sequence"), "--image": ("image",), "--sound": ("sound",)}


def explain(
    context: typer.Context,
    run: RunOrCheckpoint,
    *,
    text: Annotated[str | None, typer.Option(help="A text to answer and explain.")] = None,
    image: Annotated[str | None, typer.Option(help="An image, by its file.")] = None,
    sound: Annotated[str | None, typer.Option(help="A sound, by its file.")] = None,
    given: Annotated[
        str | None, typer.Option("--input", help="Anything else that `heedful predict` takes.")
    ] = None,
    index: Annotated[
        int | None, typer.Option(min=0, max=MOST, help="A held-out example, by its number.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="So many held-out examples: how often does it hold?"),
    ] = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Where these are.")] = "test",
    method: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="How; by default what verdicts say of the task."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="With --method attention: one site of the model.")
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=0, max=MOST, help="With --method attention: one head.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Say whether it can be trusted, and why.")
    ] = False,
    draws: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Random maps that --test compares with, at most."),
    ] = DRAWS,
    paths: Annotated[
        int,
        typer.Option(min=0, max=100, help="Cut the strongest paths through heads, so many each."),
    ] = 0,
    heads: Annotated[
        bool, typer.Option("--heads", help="Draw the map of every head on the terminal, too.")
    ] = False,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it: .html, .svg or .png."),
    ] = None,
    lang: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Language of an .html page; else English.")
    ] = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    task_from: TaskFrom = None,
) -> None:
    """Say which pieces of an input an answer rests on, and whether that can be trusted."""
    from heedful.cli._checkpoints import takes_checkpoint
    from heedful.cli._runs import open_run
    from heedful.cli._runtime import loading
    from heedful.cli.progress import working

    named = {"--text": text, "--image": image, "--sound": sound, "--input": given}
    asked = _asked(named, index=index, examples=examples)
    for option, on in (("--paths", paths), ("--heads", heads)):
        if on and examples is not None:
            raise ConfigError(f"{option} must come with one input, got --examples {examples}")
    if heads and as_json:
        raise ConfigError("--heads must be drawn on the terminal, got --json")
    if lang is not None and (output is None or output.suffix.lower() != ".html"):
        raise ConfigError(f"--lang must come with an .html page, got {output or 'no --output'}")
    if output is not None:
        _check_output(output, examples, force=force)
    say = partial(_say, output=output, lang=lang or "en", command=str(context.obj), as_json=as_json)
    options: Any = {"method": method, "site": site, "head": head, "draws": draws, "seed": seed}
    if takes_checkpoint(run):
        given = _text_alone(asked, heads=heads, task_from=task_from)
        with loading():
            from heedful.checkpoints.explain import explain_checkpoint
        with working("explaining"):
            explanation = explain_checkpoint(run, given, test=test, paths=paths, **options)
        say(explanation, task="")
        return
    with loading():
        opened = open_run(run, task_from)
        from heedful.explanation import explain, explain_examples
    if examples is not None:
        with working(f"explaining {examples} examples of the {split} split"):
            found = explain_examples(opened, examples, split=split, **options)
        _say_rate(found, as_json=as_json)
        return
    typed = _as_typed(opened.task, asked) if isinstance(asked, dict) else asked
    with working("explaining"):
        explanation = explain(opened, typed, test=test, split=split, paths=paths, **options)
    say(explanation, task=opened.config.task)
    if heads:
        _draw_heads(opened, typed, split)


def _asked(
    named: dict[str, str | None], *, index: int | None, examples: int | None
) -> dict[str, str] | int:
    """What is explained: an input by its option, one in several parts, or a number.

    Raises:
        ConfigError: Nothing was given, or more than one thing, or a file that is not there.
    """
    options = named | {"--index": index, "--examples": examples}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1 and not (given and set(given) <= set(KINDS)):
        raise ConfigError(
            f"one of {', '.join(options)} must say what is explained, got "
            f"{' and '.join(given) or 'none'}"
        )
    for name in given:
        if name in ("--image", "--sound") and not Path(str(named[name])).is_file():
            raise ConfigError(f"{name} must be a file, got {named[name]}")
    texts = {name: utf8_argument(value) for name, value in named.items() if value is not None}
    return texts or int(options[given[0]] or 0)


def _as_typed(task: "Task[Any, Any]", given: dict[str, str]) -> str:
    """What `heedful predict` would be given.

    Raises:
        ConfigError: The task reads no such thing, or not several at once.
    """
    takes = task.takes
    for name in given:
        if name in KINDS and not set(KINDS[name]) & set(takes):
            raise ConfigError(
                f"{name} must come with a run that reads such, got {task.config.task}, "
                f"which reads {' and '.join(takes)}; --input takes what `heedful predict` does"
            )
    if len(takes) > 1 and "--input" not in given:
        return json.dumps({name.removeprefix("--"): value for name, value in given.items()})
    if len(given) > 1:
        raise ConfigError(
            f"one of {', '.join(KINDS)} must say what is explained, got {' and '.join(given)}"
        )
    [text] = given.values()
    return text


def _text_alone(asked: dict[str, str] | int, *, heads: bool, task_from: str | None) -> str:
    """The text that a checkpoint is to explain.

    Raises:
        ConfigError: Something else is given.
    """
    given = list(asked) if isinstance(asked, dict) else ["--index or --examples"]
    given += ["--heads"] * heads + ["--task-from"] * (task_from is not None)
    if not isinstance(asked, dict) or given != ["--text"]:
        raise ConfigError(
            "a checkpoint of Hugging Face must be explained by --text alone, got "
            f"{' and '.join(given)}"
        )
    return asked["--text"]


def _check_output(output: Path, examples: int | None, *, force: bool) -> None:
    from heedful.cli._output import check_file
    from heedful.cli._pictures import check

    if examples is not None:
        raise ConfigError(f"--output must come with one input, got --examples {examples}")
    check(output)
    check_file(output, force=force)


def _say(
    explanation: "Explanation",
    output: Path | None,
    *,
    task: str,
    lang: str,
    command: str,
    as_json: bool,
) -> None:
    """Print an explanation, or write it, and what a user should know about the answer."""
    for warning in () if as_json else explanation.warnings:
        typer.echo(f"heedful: {warning}", err=True)
    if output is not None and output.suffix.lower() == ".html":
        _write_page(explanation, output, task=task, lang=lang, command=command)
    elif output is not None:
        _write_picture(explanation, output, command=command)
    if as_json:
        typer.echo(json_of(explanation.to_json(), indent=2))
    elif output is None:
        _draw(explanation)


def _draw(explanation: "Explanation") -> None:
    from rich.console import Console

    from heedful.report.explained import render_explanation

    console = Console(highlight=False)
    console.print(render_explanation(explanation, console.width))


def _draw_heads(run: Any, given: str | int, split: str) -> None:
    from rich.console import Console

    from heedful.explanation import example_of
    from heedful.report.atlas_text import render_atlas
    from heedful.reporting.heads import atlas_of

    atlas = atlas_of(run, None, [example_of(run, given, split)], {})
    console = Console(highlight=False)
    console.print()
    console.print(render_atlas(atlas, console.width))


def _write_picture(explanation: "Explanation", output: Path, *, command: str) -> None:
    from heedful.cli._pictures import write
    from heedful.report.explained import as_picture

    write(as_picture(explanation), output, command=command)


def _write_page(
    explanation: "Explanation", output: Path, *, task: str, lang: str, command: str
) -> None:
    from heedful.files import write_bytes
    from heedful.report.run_page.explained_page import render_explanation

    write_bytes(output, render_explanation(explanation, command=command, task=task, language=lang))
    typer.echo(f"Wrote {output}", err=True)


def _say_rate(found: "PassRate", *, as_json: bool) -> None:
    """Print how many explanations of a data set hold."""
    if as_json:
        typer.echo(json_of(found.to_json(), indent=2))
        return
    low, high = (100 * end for end in found.interval)
    typer.echo(
        f"verified: {100 * found.share:.0f} % of {found.tested} explanations "
        f"(95 % interval {low:.0f} to {high:.0f})"
    )
    for word, count in found.words.items():
        if count and word != "verified":
            typer.echo(f"  {count:>4}  {word}")
    for reason, count in found.not_explainable.items():
        typer.echo(f"  {count:>4}  not explainable: {reason}")
