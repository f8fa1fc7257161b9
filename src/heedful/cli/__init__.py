"""The command line: one file per verb; only `main` knows exit codes."""

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from heedful.cli._outside import outside, readable_warnings, short
from heedful.cli._runtime import prepare
from heedful.cli._signals import TERMINATED, raise_on_sigterm
from heedful.cli._streams import (
    check_streams,
    check_words,
    drop_output,
    keep_places,
    output_fails,
    restart_in_utf8,
    use_utf8,
    utf8_argument,
)
from heedful.cli.apply import apply
from heedful.cli.bench import bench
from heedful.cli.demo import demo
from heedful.cli.doctor import doctor
from heedful.cli.evaluate import evaluate
from heedful.cli.explain import explain
from heedful.cli.export import export
from heedful.cli.federate import federate
from heedful.cli.new import new
from heedful.cli.optimize import optimize
from heedful.cli.predict import predict
from heedful.cli.profile import profile
from heedful.cli.report import report
from heedful.cli.serve import serve
from heedful.cli.train import train
from heedful.cli.tune import tune
from heedful.cli.verdict import verdict
from heedful.cli.verify import verify
from heedful.errors import BudgetError, HeedfulError, VerificationError

VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "new": new,
    "train": train,
    "tune": tune,
    "federate": federate,
    "evaluate": evaluate,
    "predict": predict,
    "explain": explain,
    "profile": profile,
    "optimize": optimize,
    "apply": apply,
    "export": export,
    "verdict": verdict,
    "report": report,
    "serve": serve,
    "verify": verify,
    "bench": bench,
    "doctor": doctor,
}

# 0 ok; a bug leaves with its traceback and 1
USAGE = 2  # also every other HeedfulError: the user can change something
CODES: dict[type[HeedfulError], int] = {BudgetError: 3, VerificationError: 4}
INTERRUPTED = 130  # 128 + SIGINT
STOPPED = {INTERRUPTED: "interrupted", TERMINATED: "terminated"}
BROKEN_PIPE = 141  # 128 + SIGPIPE: whoever read the output went away, as in `| head`

# plain help: no boxes to be cut, and flags without "<bool>"
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"heedful {version('heedful')}")
        raise typer.Exit


@app.callback()
def heedful(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Attention for PyTorch: build it, train with it, see where it goes, spend less of it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb and leave with its exit code.

    Args:
        argv: Words behind `heedful`; those of the process by default.
    """
    if argv is None:
        restart_in_utf8()
        raise_on_sigterm()
    keep_places()
    use_utf8()
    prepare()
    words = sys.argv[1:] if argv is None else list(argv)
    command = shlex.join(["heedful", *map(utf8_argument, words)])
    code = 0
    try:
        check_streams()
        check_words(words)
        with readable_warnings():
            app(words, prog_name="heedful", obj=command)
    except HeedfulError as error:
        typer.echo(f"heedful: {short(str(error))}", err=True)
        code = next((CODES[kind] for kind in CODES if isinstance(error, kind)), USAGE)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as leave:
        # typer has turned a broken pipe into 1, which would read as a bug
        broken = isinstance(leave.__context__, BrokenPipeError)
        code = BROKEN_PIPE if broken else _as_int(leave.code)
    except Exception as error:
        words_for_it = outside(error)
        if words_for_it is None:
            raise
        typer.echo(f"heedful: {short(words_for_it)}", err=True)
        code = USAGE
        if output_fails():
            drop_output()
    if code in STOPPED:
        typer.echo(f"heedful: {STOPPED[code]}", err=True)
    raise SystemExit(code) from None


def _as_int(code: Any) -> int:
    return code if isinstance(code, int) else int(code is not None)
