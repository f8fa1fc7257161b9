"""The machine's C++ compiler: found, asked who it is, and run within a time limit."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from heedful.errors import KernelError

OPENMP = "-fopenmp"
LINES = 20  # of the compiler's words that an error repeats


def compiler() -> tuple[str, ...] | None:
    """The words that call a C++ compiler: CXX, else the first on PATH; `None` without any."""
    asked = os.environ.get("CXX", "")
    try:
        commands = [shlex.split(asked)] if asked else [["c++"], ["g++"], ["clang++"]]
    except ValueError:  # an open quotation mark
        commands = [[asked]]
    for command in commands:
        if command and (path := shutil.which(command[0])):
            return (os.path.abspath(path), *command[1:])
    return None


def no_compiler() -> str:
    """Why `compiler` finds none."""
    asked = os.environ.get("CXX")
    got = f"CXX={asked}" if asked else "none of c++, g++, clang++ on PATH"
    return f"the native kernel needs a C++ compiler, got {got}"


@cache
def version(command: tuple[str, ...], seconds: float) -> str:
    """The first line of what the compiler says of itself; nothing where it says nothing."""
    try:
        _, words = _run((*command, "--version"), seconds)
    except KernelError:
        return ""
    return words.strip().partition("\n")[0]


def compile_library(
    command: Sequence[str],
    files: Sequence[Path],
    target: Path,
    *,
    flags: tuple[str, ...],
    seconds: float,
) -> tuple[str, ...]:
    """Compile `files` into `target`, without OpenMP where the compiler does not take it.

    Returns:
        The flags that it took.

    Raises:
        KernelError: The compiler fails, writes nothing or takes longer than `seconds`.
    """
    code, words = 0, ""
    without = tuple(flag for flag in flags if flag != OPENMP)
    # the second time also tells what else is wrong when the first only tells of OpenMP
    for taken in (flags, without):
        code, words = _run((*command, *taken, *map(str, files), "-o", str(target)), seconds)
        if code == 0 and target.is_file() and target.stat().st_size:
            return taken
    if code == 0:
        raise KernelError(
            f"{command[0]} must be a C++ compiler, got a program that ends well and writes nothing"
        )
    first = "\n".join(words.strip().splitlines()[:LINES]) or "no words"
    raise KernelError(f"{command[0]} must compile the native kernel, got:\n{first}")


def _run(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Return the exit code and what was said."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror or error}"
    with process:
        try:
            words, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise KernelError(
                f"the compiler must finish within {seconds:g} s, got no end of: "
                f"{shlex.join(command)}"
            ) from None
        finally:
            if process.returncode is None:
                _kill(process)
    return process.wait(), words.decode("utf-8", errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the compiler and what it has started, which would hold the pipe open."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
