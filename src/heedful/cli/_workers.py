"""A search by several commands: further processes of this one that end with it.

`python -m heedful.cli._workers WORDS` is such a process: it takes part in the search of the command
that started it, and ends when its stdin does.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

import typer

if TYPE_CHECKING:
    from heedful.optimizing.into_folder import IntoFolder

PATIENCE = 5.0  # seconds that a process has to leave


class Together(NamedTuple):
    """How a command shares its search.

    Args:
        workers: Processes on this machine, this one among them.
        join: May another command lead it?
        storage: A database for what is shared; `None` means a file.
        command: As it was typed.
    """

    workers: int
    join: bool
    storage: str | None
    command: str


def together_of(workers: int, join: bool, storage: str | None, command: str) -> Together | None:
    """Return how a command shares its search; `None` where nothing says that it does."""
    shares = workers > 1 or join or storage is not None
    return Together(workers, join, storage, command) if shares else None


def optimized_together(asked: "IntoFolder", together: Together) -> dict[str, Any]:
    """Optimise together with others; return the report.

    Raises:
        HeedfulError: As `heedful.optimizing.taking_part.take_part` does.
    """
    from heedful.optimizing.company import Company
    from heedful.optimizing.into_folder import optimize_into
    from heedful.optimizing.taking_part import take_part
    from heedful.sharing.storage import check_optuna

    check_optuna("a search by several commands")
    with Workers(together.workers, together.command) as started:
        company = Company(storage=together.storage, here=started.alive)
        if together.join:
            return take_part(asked, company)
        return optimize_into(asked, company).report


class Workers:
    """Processes that take part in what this one leads; a context manager that leaves none behind.

    Args:
        count: How many processes there are in all.
        command: The command line of this one.
    """

    def __init__(self, count: int, command: str) -> None:
        self._count, self._words = count, worker_words(command)
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> Self:
        threads = max(1, (os.cpu_count() or 1) // self._count)
        for _ in range(self._count - 1):
            log = tempfile.TemporaryFile()
            # -P: a file of the user that is named like a library must not be loaded in its place.
            # A session of its own: Ctrl-C reaches the leading command alone, which then ends it.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "heedful.cli._workers", *self._words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"OMP_NUM_THREADS": str(threads)} | os.environ,
                start_new_session=True,
            )
            self._started.append((process, log))
        return self

    def alive(self) -> int:
        """Return how many of them there are still."""
        return sum(process.poll() is None for process, _ in self._started)

    def __exit__(self, *_: object) -> None:
        for process, log in self._started:
            if process.poll() not in (None, 0):
                typer.echo(f"heedful: a worker ended: {_last_line(log)}", err=True)
            if process.stdin is not None:
                process.stdin.close()
        for process, log in self._started:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


def worker_words(command: str) -> list[str]:
    """Return the words of a command line that takes part in the search of this one."""
    words = iter(shlex.split(command)[1:])
    kept: list[str] = []
    for word in words:
        if word == "--workers":
            next(words, None)
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept if "--join" in kept else [*kept, "--join"]


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "nothing was said"


def _leave() -> None:
    """End with the process that started this one."""
    sys.stdin.buffer.read()
    os._exit(0)  # at once, in the middle of whatever: what it had begun is done by another


def main() -> None:
    """Take part until the end."""
    from heedful.cli import main as program

    threading.Thread(target=_leave, daemon=True).start()
    program(sys.argv[1:])


if __name__ == "__main__":
    main()
