"""The three standard streams, in UTF-8 whatever the locale says, and open."""

import io
import os
import sys

from heedful.errors import ConfigError


def use_utf8() -> None:
    """Read and write UTF-8 even under `LANG=C`: Chinese is data here.

    What cannot be written stays readable on stderr, and on stdout keeps its bytes: file names that
    are not UTF-8 come through.
    """
    handling = ((sys.stdin, "strict"), (sys.stdout, "surrogateescape"))
    for stream, errors in (*handling, (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def restart_in_utf8() -> None:
    """Begin this process again where Python would read and write file names as ASCII.

    `PYTHONUTF8=0 LC_ALL=C` says so: no Chinese path could then be opened, nor stand in a file.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.orig_argv and hasattr(os, "execv"):
        os.environ["PYTHONUTF8"] = "1"  # of the processes that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def keep_places() -> None:
    """Give each standard stream that was closed its place: no file that is opened may take it.

    What is written to the place of stderr is lost, as whoever closed it wants it.
    """
    for place in range(3):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest place that is free
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def check_streams() -> None:
    """Check that there is somewhere to write results to.

    Raises:
        ConfigError: stdout is closed.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigError("stdout must be open, for results go there, got it closed")


def output_fails() -> bool:
    """Say whether stdout does not take what was written to it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def drop_output() -> None:
    """Forget what stdout would not take, or Python would try again when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # not a file
        pass


def check_words(words: list[str]) -> None:
    """Check that a command line is text.

    Raises:
        ConfigError: A word is not UTF-8: it could not be written into a run folder.
    """
    for word in words:
        try:
            os.fsencode(word).decode("utf-8")
        except UnicodeDecodeError:
            shown = os.fsencode(word).decode("utf-8", errors="backslashreplace")
            raise ConfigError(f"names and texts must be UTF-8, got {shown}") from None


def utf8_argument(text: str) -> str:
    """A word of the command line as UTF-8; under `LANG=C` Python has read it as ASCII."""
    return os.fsencode(text).decode("utf-8", errors="replace")
