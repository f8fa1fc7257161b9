"""Where a search remembers what was tried: a journal, whatever a kill left of it, or a database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import MissingExtraError, RunError
from heedful.files import write_bytes

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy

# what Optuna, or a record of ours, comes to when a line holds something else than it should
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError)


def open_study(journal: Path, storage: tuple[str, str] | None) -> "OptunaStudy":
    """Open or make a study, in a journal or in a database.

    Args:
        journal: The file of it.
        storage: A database as Optuna names it, and the name of the study in it.

    Raises:
        MissingExtraError: Optuna lacks what it needs for the database.
        RunError: The database cannot be used.
    """
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if storage is None:
        where: Any = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.create_study(storage=where, study_name="heedful", load_if_exists=True)
    url, name = storage
    shown = url.partition("://")[0]  # not whole: it may hold a password
    try:
        where = RDBStorage(url)
    except ImportError as error:
        raise MissingExtraError(
            f"a database of {shown} needs a driver for Python, got: {error}"
        ) from None
    except Exception as error:  # of whatever the driver is
        words = str(error).strip().splitlines()[:1]
        got = (words[0] if words else type(error).__name__).replace(url, f"{shown}://...")
        raise RunError(f"the database of --storage must be usable, got: {got}") from None
    return optuna.create_study(storage=where, study_name=name, load_if_exists=True)


def settle(path: Path) -> None:
    """Drop what a killed command has left at the end of a journal: its lock, and half a line.

    Nobody else may be at the journal; others may have it open.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    with path.open("rb+") as file:
        if not file.seek(0, 2) or (file.seek(-1, 1), file.read(1))[1] == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def mend(path: Path) -> None:
    """Drop the line that a kill cut off, and the lock of whoever was killed; check the others.

    Nobody else may have the journal open.

    Raises:
        RunError: A line in the middle is no entry of a journal.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    whole, _, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        write_bytes(path, whole + b"\n" if whole else b"")
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            known = isinstance(json.loads(line)["op_code"], int)
        except (*DAMAGE, RecursionError):
            known = False
        if not known:
            raise RunError(f"{path} must be whole, got a damaged line {number}")
