"""`heedful predict`: answer what a user gives, and show where the model looked."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli._options import (
    AnswerSettings,
    Beam,
    Force,
    RunFolder,
    TaskFrom,
    answer_settings,
)
from heedful.cli._streams import utf8_argument
from heedful.data.blank import is_blank
from heedful.errors import ConfigError, DataError
from heedful.texts import json_of

if TYPE_CHECKING:
    from torch import nn

    from heedful.tasks.base import Picture, Task

CHUNK = 256  # lines of stdin that are answered together


def predict(
    context: typer.Context,
    run: RunFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="What to answer: texts, files or numbers, as the task takes them; without, lines "
            "of stdin.",
        ),
    ] = None,
    *,
    beam: Beam = None,
    settings: AnswerSettings = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw on stderr where the model looked.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write that picture of one INPUT: .html, .svg or .png.",
        ),
    ] = None,
    force: Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, with what is wrong.")
    ] = False,
    task_from: TaskFrom = None,
) -> None:
    """Answer inputs or lines of stdin; stdout gets one answer a line and nothing else."""
    from heedful.cli._pictures import draw, write
    from heedful.cli._runs import open_run
    from heedful.cli._runtime import loading

    given = [utf8_argument(text) for text in inputs or ()]
    if output is not None:
        _check_picture(output, given, force=force)
    lines = iter(given) if given else stdin_lines()
    with loading():
        opened = open_run(run, task_from)
        task, model = opened.answering(answer_settings(settings, beam)), opened.model
    size = 1 if not given and sys.stdin.isatty() else CHUNK  # who types waits for each answer
    before = None if given else 0  # lines of stdin
    for chunk in chunks(lines, size):
        for text, found in _until_wrong(task, model, chunk, before):
            _say(task, text, found, as_json=as_json)
            if found is not None and (attention or output is not None):
                picture = _picture(task, model, *found)
                if picture is not None and attention:
                    draw(picture, stderr=True)
                if picture is not None and output is not None:
                    write(picture, output, command=str(context.obj))
        before = None if before is None else before + len(chunk)


def _check_picture(output: Path, given: list[str], *, force: bool) -> None:
    from heedful.cli._output import check_file
    from heedful.cli._pictures import check

    check(output)
    if len(given) != 1:
        raise ConfigError(f"--output must come with one INPUT, got {len(given)}")
    if is_blank(given[0]):
        raise ConfigError(f"--output must come with an INPUT that is not blank, got {given[0]!r}")
    check_file(output, force=force)


def chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    """Lists of so many lines; those before a line that cannot be read come first."""
    while True:
        chunk: list[str] = []
        try:
            for line in itertools.islice(lines, size):
                chunk.append(line)
        except DataError:
            yield chunk
            raise
        if not chunk:
            return
        yield chunk


def answers(
    task: "Task[Any, Any]", model: "nn.Module", texts: list[str]
) -> list[tuple[Any, Any] | None]:
    """Example and answer for each text; none for a blank one, so that lines keep their numbers."""
    import torch

    examples = [None if is_blank(text) else task.parse(text) for text in texts]
    filled = [example for example in examples if example is not None]
    with torch.inference_mode():
        found = iter(task.answer(model, task.encode(filled)) if filled else ())
    return [None if example is None else (example, next(found)) for example in examples]


def _until_wrong(
    task: "Task[Any, Any]", model: "nn.Module", texts: list[str], before: int | None
) -> Iterator[tuple[str, tuple[Any, Any] | None]]:
    """Each text with what `answers` says; those before one that cannot be read come first.

    Args:
        task: What it is.
        model: What answers.
        texts: To be answered.
        before: How many lines of stdin came before them; `None` where they are no lines of it.

    Raises:
        DataError: A text cannot be read; of stdin, with its line.
    """
    try:
        found = answers(task, model, texts)
    except DataError:
        pass  # one by one, up to the one that is wrong
    else:
        yield from zip(texts, found, strict=True)
        return
    for place, text in enumerate(texts, 1):
        try:
            one = answers(task, model, [text])[0]
        except DataError as error:
            if before is None:
                raise
            raise DataError(f"line {before + place} of stdin: {error}") from None
        yield text, one


def _say(
    task: "Task[Any, Any]", text: str, found: tuple[Any, Any] | None, *, as_json: bool
) -> None:
    """Print an answer; what is wrong with it goes to stderr, or into the JSON."""
    if as_json:
        plain = task.blank(text) if found is None else task.to_json(*found)
        typer.echo(json_of(plain))
    elif found is None:
        typer.echo("")
    else:
        for warning in task.warnings(*found):
            typer.echo(f"heedful: {warning}", err=True)
        typer.echo(task.show(found[1]))


def _picture(
    task: "Task[Any, Any]", model: "nn.Module", example: Any, answer: Any
) -> "Picture | None":
    """Where the model looked; nothing, and a word on stderr, where it answered with nothing.

    Raises:
        ConfigError: It has answered, and looks nowhere.
    """
    picture = task.picture(model, example, answer)
    if picture is None and not is_blank(task.show(answer)):
        raise ConfigError("the model must have attention to show it, got none that tells of it")
    if picture is None:
        typer.echo("heedful: the answer is empty, so there is nothing to draw", err=True)
    return picture


def stdin_lines() -> Iterator[str]:
    """The lines of stdin without their ends.

    Raises:
        DataError: stdin is closed, or a line is not UTF-8.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise DataError("stdin must be open where no INPUT is given, got it closed")
    return _lines()


def _lines() -> Iterator[str]:
    if sys.stdin.isatty():
        typer.echo("Type a text and Enter; end with Ctrl-D.", err=True)
    for number, raw in enumerate(sys.stdin.buffer, 1):  # bytes, to know the line that is not UTF-8
        try:
            yield raw.decode().rstrip("\r\n").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{raw[error.start]:02x} in line {number}"
            raise DataError(f"stdin must be UTF-8 text, got {byte}") from None
