"""Who takes part in a search, and what the command that leads it says of it to the others."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from heedful.errors import RunError
from heedful.files import read_json, write_json
from heedful.optimizing.journal import differences
from heedful.sharing.storage import without_password

CREW, LEADER = "crew", "leader.json"
FILES = (  # in the folder of a search
    f"{CREW}/{LEADER}",
    *(f"{CREW}/jobs.jsonl{end}" for end in ("", ".lock")),
    f"{CREW}/*-*.safetensors",
    f"{CREW}/*-*.json",
    f"{CREW}/workers/command-*/*",
    f"{CREW}/.heedful-lock",
)
ALONE = "machine"  # what may differ between commands: nothing is timed but where one leads


def _nobody() -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Company:
    """Who may take part in a search.

    Args:
        storage: A database for what is shared, as Optuna names it, the same for all commands.
            `None` means a journal in the folder of the search.
        here: How many commands the leading one has started beside itself; they share its cores.
    """

    storage: str | None = None
    here: Callable[[], int] = _nobody


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A search that is led.

    Args:
        leader: The number of the command in the crew.
        name: Of the study that the jobs are in.
        storage: Where that is, without a password.
        about: What makes it this search.
    """

    leader: int
    name: str
    storage: str | None
    about: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Let the others know of it."""
        write_json(folder / LEADER, {**vars(self), "about": dict(self.about)})

    def check(self, about: Mapping[str, Any], storage: str | None) -> None:
        """Refuse to take part in another search than was asked for.

        Args:
            about: What makes it the one that was asked for.
            storage: That was named.

        Raises:
            RunError: It is another one, or another database.
        """
        plain = json.loads(json.dumps(about))  # as it was written
        ours, theirs = ({**each, ALONE: None} for each in (plain, self.about))
        different = list(differences(ours, theirs))
        if different:
            raise RunError(
                f"whoever takes part must ask for the same search, got a difference in "
                f"{', '.join(different)}"
            )
        named = shown(storage)
        if named != self.storage:
            raise RunError(
                f"--storage must be the same for all commands, got {named or 'none'} "
                f"for {self.storage or 'none'}"
            )


def announced(folder: Path) -> Announced | None:
    """Return what the last command said that has led a search; `None` where none has.

    Args:
        folder: Of the crew.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / LEADER
    if not path.is_file():
        return None
    try:
        return Announced(**cast(dict[str, Any], read_json(path)))
    except TypeError:
        raise RunError(f"{path} must say who leads a search, got something else") from None


def shown(storage: str | None) -> str | None:
    """The address of a database as it may be written down."""
    return None if storage is None else without_password(storage)
