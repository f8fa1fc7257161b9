"""How often the test split of a run was looked at: a line for every look, beside the split."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from heedful.allocation.weights import weights_of
from heedful.errors import RunError
from heedful.files import read_whole, reason
from heedful.optimizing.digest import digest
from heedful.optimizing.events import EventListener, Note
from heedful.optimizing.problem import Problem
from heedful.training.splits import LEDGER

MOST = 1 << 24  # bytes


class Looks:
    """Looks at one test split that nothing but this process remembers.

    Args:
        before: How many there were.
    """

    def __init__(self, before: int = 0) -> None:
        self._before = before
        self._seen: list[str] = []

    def __call__(self, model: nn.Module) -> int:
        """Return the number of a look, from 1; a model seen before is the same look."""
        seen = looked_at(model)
        if seen not in self._seen:
            self._seen.append(seen)
        return self._before + 1 + self._seen.index(seen)


def looked_at(model: nn.Module) -> str:
    """Return what tells a model that is looked at from others: its numbers."""
    return digest(weights_of(model)).hex()


def counted(
    problem: Problem, folder: Path, test: str, budget: str, on_event: EventListener
) -> Problem:
    """Return the problem with its looks counted in a folder; where that cannot be, it is said.

    Args:
        problem: Whose test split is looked at.
        folder: The folder whose split it is.
        test: What `digest` says of the examples.
        budget: What is to be shown.
        on_event: Told of further looks, and where they cannot be counted.
    """
    try:
        looked = count_looks(folder, test)
    except RunError:
        looked = 0  # and said at the first look
    unwritten = Looks(looked)

    def count(model: nn.Module) -> int:
        try:
            number = add_look(folder, test, budget, looked_at(model))
        except RunError as error:
            on_event(Note(text=f"looks at the test split are not counted: {error}"))
            return unwritten(model)
        if number > 1:
            on_event(Note(text=f"this is look {number} at the test split of {folder}"))
        return number

    return replace(problem, looked=looked, count_look=count)


def count_looks(folder: Path, test: str) -> int:
    """Return how often these examples were judged on; lines that say nothing do not count.

    Args:
        folder: Of the run.
        test: What `digest` says of the examples.

    Raises:
        RunError: The file cannot be read.
    """
    return len(_looks(folder, test))


def add_look(folder: Path, test: str, budget: str, model: str) -> int:
    """Write down that a model is about to be judged on these examples; return the look's number.

    The same model under the same budget comes out the same, and is no further look: a search that
    was killed behind its verdict can go on to it.

    Args:
        folder: Of the run.
        test: What `digest` says of the examples.
        budget: What is to be shown.
        model: What `digest` says of its weights.

    Raises:
        RunError: The file cannot be read or written.
    """
    path = folder / LEDGER
    look = {"test": test, "budget": budget, "model": model}
    before = _looks(folder, test)
    if look in before:
        return 1 + before.index(look)
    line = json.dumps(look, ensure_ascii=False)
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
    return 1 + _looks(folder, test).index(look)  # others may look at the same time


def _looks(folder: Path, test: str) -> list[dict[str, Any]]:
    """The looks at these examples; those of older versions do not say at which model."""
    path = folder / LEDGER
    if not os.path.lexists(path):
        return []
    found: list[dict[str, Any]] = []
    for line in read_whole(path, most=MOST).splitlines():
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and cast(dict[str, Any], content).get("test") == test:
            found.append(cast(dict[str, Any], content))
    return found
