"""How often the test split of a run was looked at: a line for every look, beside the split."""

import json
import os
from pathlib import Path
from typing import Any, cast

from heedful.errors import RunError
from heedful.files import read_whole, reason
from heedful.optimizing.events import EventListener, Note
from heedful.training.splits import LEDGER

MOST = 1 << 24  # bytes


def look(folder: Path, test: str, budget: str, on_event: EventListener) -> int:
    """Count a look at a test split, before it; where nothing can be written, say so.

    Args:
        folder: The folder whose split it is.
        test: What `digest` says of the examples.
        budget: What is to be shown.
        on_event: Told of further looks, and where they cannot be counted.
    """
    try:
        looks = 1 + count_looks(folder, test)
        add_look(folder, test, budget)
    except RunError as error:
        on_event(Note(text=f"looks at the test split are not counted: {error}"))
        return 1
    if looks > 1:
        on_event(Note(text=f"the test split of {folder} is judged on for the {looks}th time"))
    return looks


def count_looks(folder: Path, test: str) -> int:
    """Return how often these examples were judged on; lines that say nothing do not count.

    Args:
        folder: Of the run.
        test: What `digest` says of the examples.

    Raises:
        RunError: The file cannot be read.
    """
    path = folder / LEDGER
    if not os.path.lexists(path):
        return 0
    lines = read_whole(path, most=MOST).splitlines()
    return sum(_test_of(line) == test for line in lines)


def add_look(folder: Path, test: str, budget: str) -> None:
    """Write down that these examples are about to be judged on.

    Args:
        folder: Of the run.
        test: What `digest` says of the examples.
        budget: What is to be shown.

    Raises:
        RunError: The file cannot be written.
    """
    path = folder / LEDGER
    line = json.dumps({"test": test, "budget": budget}, ensure_ascii=False)
    try:
        with path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            whole = file.read(1) in (b"", b"\n")  # else a kill has cut the line before
            file.write(f"{'' if whole else chr(10)}{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{path} must be writable, got: {reason(error)}") from None


def _test_of(line: bytes) -> str | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], content).get("test") if isinstance(content, dict) else None
