"""`heedful predict`: translate texts, and show where the model looked."""

import itertools
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli._options import Beam, Force, RunFolder
from heedful.cli._streams import utf8_argument
from heedful.errors import ConfigError, DataError

if TYPE_CHECKING:
    from heedful.tasks.translation import Translation, Translator

CHUNK = 256  # lines of stdin that are translated together


def predict(
    context: typer.Context,
    run: RunFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="What to translate; without, lines of stdin."),
    ] = None,
    *,
    beam: Beam = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw on stderr where the model looked.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write that picture of one TEXT: .html, .svg or .png.",
        ),
    ] = None,
    force: Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, with what is wrong.")
    ] = False,
) -> None:
    """Translate texts or lines of stdin; stdout gets one translation a line and nothing else."""
    from heedful.cli._runs import open_run

    given = [utf8_argument(text) for text in texts or ()]
    if output is not None:
        _check_picture(output, given, force=force)
    lines = iter(given) if given else stdin_lines()
    translator = open_run(run).translator
    size = 1 if not given and sys.stdin.isatty() else CHUNK  # who types waits for each answer
    for chunk in chunks(lines, size):
        for text, answer in zip(chunk, translate(translator, chunk, beam), strict=True):
            found = _answer(translator, text, answer)
            if as_json:
                typer.echo(json.dumps(found, ensure_ascii=False))
            else:
                _warn(translator, found)
                typer.echo(found["translation"])
            if answer is not None and (attention or output is not None):
                translation = found["translation"]
                _picture(translator, text, translation, attention, output, str(context.obj))


def _check_picture(output: Path, given: list[str], *, force: bool) -> None:
    from heedful.cli._output import check_file
    from heedful.report.alignment_chart import check_output

    check_output(output)
    if len(given) != 1:
        raise ConfigError(f"--output must come with one TEXT, got {len(given)}")
    if not given[0].strip():
        raise ConfigError(f"--output must come with a TEXT that is not blank, got {given[0]!r}")
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


def translate(
    translator: "Translator", texts: list[str], beam: int | None
) -> "list[Translation | None]":
    """An answer for each text; none for a blank one, so that line numbers keep their meaning."""
    filled = [text for text in texts if text.strip()]
    answers = iter(translator.outcomes(filled, beam=beam) if filled else ())
    return [next(answers) if text.strip() else None for text in texts]


def _answer(translator: "Translator", text: str, answer: "Translation | None") -> dict[str, Any]:
    """A translation on one line, and what is wrong with it."""
    if answer is None:
        wrong: dict[str, Any] = {"too_long": False, "cut": False, "unknown": [], "known": 0}
        return {"text": text, "translation": "", "tokens": 0, **wrong}
    unknown = _unknown(translator, text) if answer.unknown else []
    return {
        "text": text,
        "translation": " ".join(answer.text.splitlines()),
        "tokens": answer.tokens,
        "too_long": answer.too_long,
        "cut": answer.cut,
        "unknown": unknown,
        "known": answer.tokens - answer.unknown,
    }


def _unknown(translator: "Translator", text: str) -> list[str]:
    """The pieces of a text that the vocabulary does not hold, each once."""
    from heedful.data.tokens import UNKNOWN

    vocabulary = translator.vocabularies.source
    pieces = zip(vocabulary.pieces(text), vocabulary.encode([text])[0], strict=False)
    return list(dict.fromkeys(piece for piece, number in pieces if number == UNKNOWN))


def _warn(translator: "Translator", found: dict[str, Any]) -> None:
    """What is wrong with a translation, on stderr."""
    text, unknown = found["text"], found["unknown"]
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    if unknown:
        few = ", ".join(repr(piece) for piece in unknown[:5]) + (", …" if unknown[5:] else "")
        nothing = "" if found["known"] else " and nothing else, so its translation means nothing"
        _tell(f'"{shown}" has pieces that this model has never seen{nothing}: {few}')
    if found["too_long"]:
        _tell(
            f'"{shown}" has {found["tokens"]} tokens, more than the '
            f"{translator.longest} that this model was trained with"
        )
    if found["cut"]:
        limit = translator.decode.max_length
        _tell(f'the translation of "{shown}" is cut at {limit} tokens (decode.max_length)')


def _tell(text: str) -> None:
    typer.echo(f"heedful: {text}", err=True)


def stdin_lines() -> Iterator[str]:
    """The lines of stdin without their ends.

    Raises:
        DataError: stdin is closed, or a line is not UTF-8.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise DataError("stdin must be open where no TEXT is given, got it closed")
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
