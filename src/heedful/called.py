"""How this process was called, as it is written down for others to read."""

import sys
from pathlib import Path


def called() -> list[str]:
    """Return the words of the command line, the program by its name: `heedful train ...`.

    Run as a module, as by `python -m heedful` or `torchrun -m heedful`, it has the name of the
    package. Bytes of a name that are not UTF-8 stand as they are escaped elsewhere.
    """
    first, *words = sys.argv or [""]
    program = Path(first or "python")
    if program.name == "__main__.py":
        program = program.parent
    return [word.encode("utf-8", "backslashreplace").decode() for word in (program.name, *words)]
