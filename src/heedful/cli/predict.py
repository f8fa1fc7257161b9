"""`heedful predict`: translate texts, and show where the model looked."""

import itertools
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli._streams import utf8_argument
from heedful.errors import ConfigError, DataError

if TYPE_CHECKING:
    from heedful.tasks.translation import Translation, Translator

CHUNK = 256  # lines of stdin that are translated together


def predict(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder written by `heedful train`.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="What to translate; without, lines of stdin."),
    ] = None,
    *,
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beginnings kept in the search; as configured.")
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw on stderr where the model looked.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write that picture of one TEXT: .html, .svg or .png."),
    ] = None,
) -> None:
    """Translate texts or lines of stdin; stdout gets one translation a line and nothing else."""
    given = [utf8_argument(text) for text in texts or ()]
    if output is not None:
        from heedful.report.alignment_chart import check_output

        check_output(output)
        if len(given) != 1:
            raise ConfigError(f"--output must come with one TEXT, got {len(given)}")
    from heedful.training.run import load

    translator = load(run).translator
    lines = iter(given) if given else stdin_lines()
    size = 1 if not given and sys.stdin.isatty() else CHUNK  # who types waits for each answer
    while chunk := list(itertools.islice(lines, size)):
        for text, translation in zip(chunk, translate(translator, chunk, beam), strict=True):
            typer.echo(translation)
            if text.strip() and (attention or output is not None):
                _picture(translator, text, translation, attention, output, str(context.obj))


def translate(translator: "Translator", texts: list[str], beam: int | None) -> Iterable[str]:
    """One line for each text; a blank one stays blank, so that line numbers keep their meaning."""
    filled = [text for text in texts if text.strip()]
    answers = iter(translator.outcomes(filled, beam=beam) if filled else ())
    return [_line(translator, text, next(answers)) if text.strip() else "" for text in texts]


def _line(translator: "Translator", text: str, answer: "Translation") -> str:
    """The translation on one line; what is wrong with it goes to stderr."""
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    if answer.too_long:
        typer.echo(
            f'heedful: "{shown}" has {answer.tokens} tokens, more than the '
            f"{translator.longest} that this model was trained with",
            err=True,
        )
    if answer.cut:
        typer.echo(
            f'heedful: the translation of "{shown}" is cut at '
            f"{translator.decode.max_length} tokens (decode.max_length)",
            err=True,
        )
    return " ".join(answer.text.splitlines())


def stdin_lines() -> Iterator[str]:
    """The lines of stdin without their ends.

    Raises:
        DataError: A line is not UTF-8.
    """
    if sys.stdin.isatty():
        typer.echo("Type a text and Enter; end with Ctrl-D.", err=True)
    for number, raw in enumerate(sys.stdin.buffer, 1):  # bytes, to know the line that is not UTF-8
        try:
            yield raw.decode().rstrip("\r\n").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            byte = f"byte 0x{raw[error.start]:02x} in line {number}"
            raise DataError(f"stdin must be UTF-8 text, got {byte}") from None


def _picture(
    translator: "Translator",
    text: str,
    translation: str,
    attention: bool,
    output: Path | None,
    command: str,
) -> None:
    alignment = translator.align(text, translation)
    if attention:
        from rich.console import Console

        from heedful.report.alignment import render_terminal

        console = Console(stderr=True, highlight=False)
        console.print(render_terminal(alignment, console.width))
    if output is not None:
        from heedful.report.alignment_chart import write_alignment

        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", UserWarning)
            write_alignment(alignment, output, command=command)
        for note in notes:
            typer.echo(f"heedful: {note.message}", err=True)
        typer.echo(f"Wrote {output}", err=True)
