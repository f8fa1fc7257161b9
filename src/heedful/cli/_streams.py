"""The three standard streams, in UTF-8 whatever the locale says."""

import io
import os
import sys


def use_utf8() -> None:
    """Read and write UTF-8 even under `LANG=C`: Chinese is data here.

    What cannot be written stays readable on stderr, and on stdout keeps its bytes: file names that
    are not UTF-8 come through.
    """
    handling = ((sys.stdin, "strict"), (sys.stdout, "surrogateescape"))
    for stream, errors in (*handling, (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def utf8_argument(text: str) -> str:
    """A word of the command line as UTF-8; under `LANG=C` Python has read it as ASCII."""
    return os.fsencode(text).decode("utf-8", errors="replace")
