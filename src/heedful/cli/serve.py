"""`heedful serve`: let a run answer over HTTP, and on a page where one can try it."""

from importlib.util import find_spec
from typing import Annotated

import typer

from heedful.cli._options import (
    LONGEST,
    AnswerSettings,
    Beam,
    RunFolder,
    TaskFrom,
    answer_settings,
)
from heedful.cli._signals import STOPS
from heedful.errors import MissingExtraError

LARGEST_PORT = 65_535
MOST_INPUTS = 1_000_000
MOST_BYTES = 1 << 30


def serve(
    run: RunFolder,
    *,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 means every network of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=LARGEST_PORT, help="The port; 0 means any that is free.")
    ] = 8000,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A name by which a proxy on this machine asks for it."),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=MOST_INPUTS, help="Inputs that are answered together.")
    ] = 32,
    wait_ms: Annotated[
        float,
        typer.Option(min=0, max=10_000, help="Milliseconds that an input waits for others."),
    ] = 5.0,
    queue: Annotated[
        int, typer.Option(min=1, max=MOST_INPUTS, help="Inputs that may wait; more are refused.")
    ] = 256,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_BYTES,
            help="Largest body of a request; by default 1 MiB of texts, 8 MiB of files.",
        ),
    ] = None,
    max_characters: Annotated[
        int, typer.Option(min=1, max=MOST_BYTES, help="Longest text or sequence.")
    ] = 10_000,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=LONGEST, help="Seconds that a request may take.")
    ] = 60.0,
    beam: Beam = None,
    settings: AnswerSettings = None,
    task_from: TaskFrom = None,
) -> None:
    """Answer over HTTP until Ctrl-C or SIGTERM, and show a page where one can try it."""
    from heedful.cli._runs import open_run
    from heedful.cli._runtime import loading

    _check_installed()
    from heedful.serving.listening import listen

    with listen(host, port) as door:  # before the model is loaded: is the port free?
        with loading():
            opened = open_run(run, task_from)
            from heedful.serving.limits import Limits, largest_body
            from heedful.serving.serve import serve_on
            from heedful.serving.service import Service

            service = Service(opened, answer_settings(settings, beam))
        limits = Limits(
            batch=batch,
            wait=wait_ms / 1000,
            queue=queue,
            bytes=largest_body(service.takes) if max_bytes is None else max_bytes,
            characters=max_characters,
            seconds=timeout,
        )
        try:
            serve_on(door, service, limits, names=names or (), tell=_say)
        except STOPS:
            return  # as asked: whoever waited was answered


def _check_installed() -> None:
    for name in ("fastapi", "jinja2", "prometheus_client", "uvicorn"):
        if find_spec(name) is None:
            raise MissingExtraError(
                f"serving needs fastapi, prometheus-client and uvicorn, got none of {name}. "
                "Install them with: pip install 'heedful[serve]'"
            )


def _say(line: str) -> None:
    typer.echo(line, err=True)
