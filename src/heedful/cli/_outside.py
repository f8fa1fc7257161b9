"""What goes wrong outside heedful, in one line: the disk, the memory, a user's own function."""

import re
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from heedful.cli._streams import output_fails
from heedful.errors import ConfigError, HeedfulError

LONGEST, END = 1_000, 300  # characters of a line that is said, and of those behind a gap in it

# what torch says when there is too little memory, or numbers that no memory could hold
_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Storage size calculation overflowed"
    r"|size is too large|numel: integer multiplication overflow|array is too big"
    r"|Maximum allowed dimension exceeded",
    re.IGNORECASE,
)


def outside(error: Exception) -> str | None:
    """Return what to say of an error that the user's machine or numbers cause; `None` is a bug."""
    if isinstance(error, OSError):
        nameless = "stdout" if output_fails() else "a file or a folder"
        where = nameless if error.filename is None else _text(error.filename)
        return f"{where} must be usable, got: {error.strerror or error}"
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ValueError) and _MEMORY.search(str(error))
    ):
        said = str(error).strip().partition("\n")[0] or "more than this machine has"
        return f"what is asked for must fit into memory, got: {said}"
    if isinstance(error, UnicodeEncodeError) and re.search("surrogates", error.reason):
        shown = error.object.encode("utf-8", "backslashreplace").decode()
        return f"names must be UTF-8, got {shown[:200]}"
    return None


@contextmanager
def users_code(name: str, must: str) -> Generator[None]:
    """Say in one line what a function of the user's raises.

    Raises:
        ConfigError: It raises; `name` must do what `must` says.
    """
    try:
        yield
    except HeedfulError:
        raise
    except Exception as error:
        if outside(error) is not None:
            raise
        raise ConfigError(f"{name} must {must}, got {told(error)}") from None


def short(text: str) -> str:
    """The same text, where the middle of every line that nobody would read is left out."""
    return "\n".join(map(_short_line, text.split("\n")))


def _short_line(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST - END]} … {line[-END:]}"


def told(error: BaseException) -> str:
    """An exception in one line, its kind first."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextmanager
def readable_warnings() -> Generator[None]:
    """Show warnings of ours as one line on stderr; others stay as Python shows them."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
            # not imported above: errors.KernelWarning and errors.RunWarning are what concerns users
            if category.__module__.partition(".")[0] == "heedful":
                sys.stderr.write(f"heedful: {short(str(message))}\n")
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _text(name: Any) -> str:
    text = name if isinstance(name, str) else repr(name)
    return text.encode("utf-8", "backslashreplace").decode()
