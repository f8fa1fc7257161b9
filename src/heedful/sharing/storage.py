"""Where a search remembers what was tried: a journal, whatever a kill left of it, or a database."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import MissingExtraError, RunError
from heedful.files import write_bytes

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.storages import BaseStorage, RDBStorage

# what Optuna, or a record of ours, comes to when a line holds something else than it should
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError)


def check_optuna(what: str) -> None:
    """Check that Optuna can be loaded.

    Args:
        what: Needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import optuna  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise MissingExtraError(
            f"{what} needs Optuna, got none. Install it: pip install 'heedful[tune]'"
        ) from None


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

    url, name = (None, "heedful") if storage is None else storage
    where = open_storage(journal, url)
    return optuna.create_study(storage=where, study_name=name, load_if_exists=True)


def open_storage(journal: Path, url: str | None) -> "BaseStorage":
    """Open or make what holds studies: a journal, or the database of an address.

    Raises:
        HeedfulError: As `open_study` does.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return open_database(url) if url else JournalStorage(JournalFileBackend(str(journal)))


def open_database(url: str) -> "RDBStorage":
    """Reach a database, and make the tables of Optuna in it.

    Raises:
        MissingExtraError: Optuna lacks what it needs for it.
        RunError: It cannot be used.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    # a server may have been started anew since it was last asked; of a file no connection is kept,
    # for nobody would close it
    file = re.match(r"sqlite(\+\w+)?:///(?!:memory:|file:)[^?]", url)
    kept: dict[str, Any] = {"poolclass": NullPool} if file else {"pool_pre_ping": True}
    shown = url.partition("://")[0]  # not whole: it may hold a password
    try:
        return RDBStorage(url, engine_kwargs=kept)
    except ImportError as error:
        raise MissingExtraError(
            f"a database of {shown} needs a driver for Python, got: {error}"
        ) from None
    except Exception as error:  # of whatever the driver is
        got = _first_line(error).replace(url, f"{shown}://...")
        raise RunError(f"the database of --storage must be usable, got: {got}") from None


@contextmanager
def reachable(url: str | None, *, again: str = "With --resume") -> Generator[None]:
    """Check a database before a search begins, and say in one line where it is lost meanwhile.

    Args:
        url: As Optuna names it; `None` for a journal.
        again: By what the search goes on.

    Raises:
        RunError: It is; what was told to it before is there when it is back.
        HeedfulError: As `open_database` does.
    """
    from optuna.exceptions import StorageInternalError

    if url is not None:
        open_database(url).engine.dispose()
    try:
        yield
    except StorageInternalError as error:
        got = _first_line(error.__cause__ or error)
        raise RunError(
            f"the database of --storage must be usable until the end, got: {got}. "
            f"{again} the search goes on."
        ) from None


def without_password(word: str) -> str:
    """Return a word of a command line, `***` for the password of an address in it."""
    return re.sub(r"(://[^:/@\s]*:)\S*(@)", r"\1***\2", word)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
