"""What became of models of other libraries that were changed: what their benchmarks share."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from heedful.allocation.sites import Site, find_sites
from heedful.errors import HeedfulError


class Wrong(Exception):
    """A changed model gives something else."""


def said(error: Exception, most: int = 200) -> str:
    """Say an error in one line."""
    return f"{type(error).__name__}: {str(error)[:most]}"


def outcome(model: Any, check: Callable[[list[Site]], str]) -> str:
    """Say what became of one model: changed, in part, refused, or WRONG.

    Args:
        model: As it is.
        check: Changes it at these sites, raises `Wrong` where it then gives something else, and
            says what it did.
    """
    try:
        sites, reasons = find_sites(model)
    except HeedfulError as error:
        return f"refused: {error}"
    refused = "; ".join(sorted(set(reasons.values())))
    if not sites:
        return f"refused: {refused}" if refused else "no attention"
    try:
        did = f"{len(sites)} sites, {check(sites)}"
    except Wrong as wrong:
        return f"WRONG: {wrong}"
    except HeedfulError as error:
        return f"refused when written: {error}"
    except Exception as error:  # whatever is raised
        return f"WRONG: {said(error)}"
    return f"in part: {did}; {len(reasons)} refused: {refused}" if reasons else f"changed: {did}"


def wrong_again(script: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield what is no longer the same when a process of its own loads it, and how."""
    again = [sys.executable, script, "--reload", folder]
    lines = subprocess.run(again, capture_output=True, text=True, check=True).stdout
    for name, words in map(json.loads, lines.splitlines()):
        if words:
            yield name, f"WRONG: {words}"
