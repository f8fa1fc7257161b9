"""Keep a folder to one process at a time, and say which one that is."""

import errno
import json
import os
import platform
import shlex
import stat
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from heedful.called import called
from heedful.errors import RunError
from heedful.files import is_unfinished, reason

LOCK = ".heedful-lock"
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_MOST = 4_096  # bytes that say who holds a folder
_FAR = 1 << 30  # where Windows, which hides locked bytes, locks one: behind all that is written


_fcntl: Any = None  # of Unix
_msvcrt: Any = None  # of Windows
with suppress(ImportError):
    _fcntl = import_module("fcntl")
with suppress(ImportError):
    _msvcrt = import_module("msvcrt")


@contextmanager
def hold(folder: Path, *, make: bool = False) -> Generator[None]:
    """Hold a folder, so that no other process, and no other thread, holds it meanwhile.

    The lock is one of the operating system on a small file in the folder: it ends with the process,
    however that ends, and a file that a killed process left behind locks nothing. Where the file
    system or the platform has no locks, a warning says so and nothing is held.

    Args:
        folder: Exists, unless `make` says otherwise.
        make: Make the folder where it is missing, and those above it. What was made goes again if
            nothing is in it at the end.

    Raises:
        RunError: Another one holds it, or the folder cannot be written.
    """
    path = folder / LOCK
    made = _make(folder) if make else []
    try:
        descriptor = _taken(path)
        try:
            yield
        finally:
            _release(descriptor, path)
    finally:
        with suppress(OSError):  # something is in it
            for one in made:
                one.rmdir()


def is_unused(folder: Path) -> bool:
    """Say whether nothing is there, or an empty folder.

    The file of a lock does not count, nor what a kill left of writing into the folder.

    Raises:
        RunError: It cannot be looked at, or no folder can have such a name.
    """
    try:
        if not folder.exists() and not folder.is_symlink():
            return True
        return folder.is_dir() and all(
            child.name == LOCK or is_unfinished(child) for child in folder.iterdir()
        )
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} must be readable, got: {reason(error)}") from None


def check_unused(folder: Path) -> None:
    """Check that nothing is there that whoever writes into the folder would overwrite.

    Raises:
        RunError: The folder is not empty, or is a file, or no folder can have such a name.
    """
    if is_unused(folder):
        return
    half = folder.is_dir() and any(map(is_unfinished, folder.iterdir()))
    what = ", which a kill has left half written. Delete it, and begin again." if half else ""
    raise RunError(f"output must be a new or an empty folder, got {folder}{what}")


def _make(folder: Path) -> list[Path]:
    """Make a folder and return those that were not there, the innermost first."""
    missing: list[Path] = []
    try:
        for one in (folder, *folder.parents):
            if one.exists():
                break
            missing.append(one)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} must be writable, got: {reason(error)}") from None
    return missing


def _taken(path: Path) -> int:
    while True:
        descriptor = _opened(path)
        try:
            _lock(descriptor)
            if _is_at(descriptor, path):
                _write(descriptor)
                return descriptor
            os.close(descriptor)  # whoever held it has deleted it since: a new one is there
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _BUSY:
                raise RunError(f"{path} must be writable, got: {reason(error)}") from None
            raise RunError(f"{path.parent} must not be in use, got: {_holder(path)}") from None


def _opened(path: Path, how: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open the file of the lock, which is never a link, a pipe or a device."""
    safely = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if path.is_symlink():
            raise RunError(f"{path} must be a file, got a link")
        descriptor = os.open(path, how | safely, 0o644)
    except OSError as error:
        raise RunError(f"{path.parent} must be writable, got: {reason(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunError(f"{path} must be a file, got something else")
    return descriptor


def _lock(descriptor: int) -> None:
    """Lock without waiting; where nothing can be locked, say so and go on."""
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        elif _msvcrt is not None:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
        else:
            raise OSError(errno.ENOSYS, "no locks on this platform")
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        warnings.warn(
            f"nothing keeps two processes out of one folder here, got: {error.strerror}",
            RuntimeWarning,
            stacklevel=2,
        )


def _unlock(descriptor: int) -> None:
    with suppress(OSError):  # nothing could be locked
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_UN)
        elif _msvcrt is not None:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            _msvcrt.locking(descriptor, _msvcrt.LK_UNLCK, 1)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _release(descriptor: int, path: Path) -> None:
    """Delete the file while it is locked, so that none is taken that another one has locked."""
    ours = _is_at(descriptor, path)
    if ours:
        with suppress(OSError):  # Windows deletes no open file
            path.unlink()
    _unlock(descriptor)
    os.close(descriptor)
    if ours and _fcntl is None:
        with suppress(OSError):  # another one has opened it
            path.unlink()


def _write(descriptor: int) -> None:
    about = {
        "process": os.getpid(),
        "command": shlex.join(called())[:1_000],
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "machine": platform.node(),
    }
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(about).encode())


def _holder(path: Path) -> str:
    """Say who holds a folder, as far as the file says so."""
    try:
        descriptor = _opened(path, os.O_RDONLY)
        try:
            about = json.loads(os.read(descriptor, _MOST))
        finally:
            os.close(descriptor)
    except (RunError, OSError, ValueError, RecursionError):
        return "held by another process"
    if not isinstance(about, dict):
        return "held by another process"
    plain = cast(dict[str, Any], about)
    process, command, since, machine = (
        "".join(c if c.isprintable() else "?" for c in str(plain.get(key, "?")))[:200]
        for key in ("process", "command", "since", "machine")
    )
    where = "" if machine == platform.node() else f" on {machine}"
    return f"held by process {process}{where} ({command}) since {since}"
