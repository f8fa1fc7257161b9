"""Files that are either whole or absent, whenever the power goes."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from heedful.errors import RunError
from heedful.removal import remove_written
from heedful.texts import json_of, parse_json

LONGEST_NAME = 255  # bytes, on every file system that people have
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)  # of a folder


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, force it to the disk, rename.

    Within `write_folder` and `write_into` the disk waits for all files at once, at the end.

    Raises:
        RunError: The folder cannot be written, or the disk is full; the old file is as it was.
    """
    with _writing(path):
        temporary = _temporary(path)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                if not _is_later(path):
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # on a read-only disk even this fails
                temporary.unlink(missing_ok=True)
            raise
        if not _is_later(path):
            _keep(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as UTF-8 JSON, whole or not at all; what is no finite number is null.

    Raises:
        RunError: As for `write_bytes`.
    """
    write_bytes(path, (json_of(content, indent=1) + "\n").encode())


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their path in a folder, as `write_bytes` does, and the folders they are in."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary folder, then give it its name, which must be unused.

    Raises:
        RunError: As for `write_bytes`.
    """
    with _writing(path):
        temporary = _temporary(path)
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            fill(temporary)
            if not _is_later(path):
                _keep_all(temporary)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        if not _is_later(path):
            _keep(path.parent)


def write_into(
    folder: Path, fill: Callable[[Path], None], *, last: str, holds: Sequence[str]
) -> None:
    """Let `fill` write what a folder shall hold, and put that in place when all of it is there.

    Unlike with `write_folder` the folder may exist already, be a link or another disk, and hold
    something else. What a kill leaves is in one folder, which `is_unfinished` knows.

    Args:
        folder: Made where it is missing.
        fill: Gets an empty folder.
        last: The file that is put in place after all others.
        holds: What `fill` may write, as for `remove_written`: what an earlier kill left of it goes.

    Raises:
        RunError: As for `write_bytes`; nothing is left then.
    """
    with _writing(folder, new=False):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        for child in filter(is_unfinished, list(folder.iterdir())):
            remove_written(child, holds)
        start = folder / f".start.{os.getpid()}.tmp"
        placed: list[Path] = []
        try:
            start.mkdir()
            fill(start)
            _keep_all(start)
            for child in sorted(start.iterdir(), key=lambda child: child.name == last):
                os.replace(child, folder / child.name)
                placed.append(folder / child.name)
            _keep(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                while placed:
                    os.replace(placed[-1], start / placed[-1].name)
                    placed.pop()
            raise
        finally:
            shutil.rmtree(start, ignore_errors=True)
            if made and not placed:
                with contextlib.suppress(OSError):
                    folder.rmdir()


def is_unfinished(path: Path) -> bool:
    """Say whether this is what a killed `write_into` left, which is worth nothing."""
    return bool(re.fullmatch(r"\.start\.\d+\.tmp", path.name)) and not path.is_symlink()


def read_whole(path: Path, *, most: int, holder: str = "a run folder") -> bytes:
    """Read a file that must be an ordinary one, not endless, and of a size that makes sense.

    Args:
        path: Links are followed. A pipe or a device is refused before it can block.
        most: Bytes.
        holder: What the file belongs to, for errors.

    Raises:
        RunError: It is missing, is no ordinary file, is larger, or cannot be read.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= most:
            with path.open("rb") as file:
                return file.read(found.st_size)
        got = f"{found.st_size:,} bytes, more than {most:,}"
        if not stat.S_ISREG(found.st_mode):
            got = "Is a directory" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
    except FileNotFoundError:
        got = "a link to nothing" if path.is_symlink() else None
    except MemoryError:
        got = "more than the memory holds"
    except (OSError, ValueError) as error:
        got = reason(error)
    if got is None:
        raise RunError(f"{holder} must hold {path.name}, got none in {path.parent}")
    raise RunError(f"{path} must be readable, got: {got}")


def read_json(path: Path, *, most: int = 1 << 26) -> Any:
    """Read UTF-8 JSON of at most `most` bytes.

    Raises:
        RunError: The file is missing or damaged.
    """
    return parse_json(read_whole(path, most=most), path)


def named(path: Path) -> Path:
    """Return the same place by a path that ends in a name, which `.` and `..` do not."""
    return path.resolve() if path.name in ("", "..") else path


def reason(error: BaseException) -> str:
    """Say in one line why a file cannot be read or written."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error) or type(error).__name__).split())


def _temporary(path: Path) -> Path:
    """Where `path` is written before it has its name."""
    ending = f".{os.getpid()}.tmp"
    name = path.name
    if len(os.fsencode(name)) + len(ending) + 1 > LONGEST_NAME >= len(os.fsencode(name)):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return path.with_name(f".{name}{ending}")


@contextlib.contextmanager
def _writing(path: Path, *, new: bool = True) -> Generator[None]:
    """Say what cannot be written, and why."""
    if new and not path.name:
        raise RunError(f"{path} must be a name that can be written, got a folder that is there")
    try:
        os.fsencode(path)
        if "\0" in str(path):
            raise RunError(f"{path!r} must be a name that can be written, got NUL in it")
    except UnicodeEncodeError as error:
        raise RunError(
            f"{path!r} must be a name that can be written, got a letter that no "
            f"{error.encoding} name can hold"
        ) from None
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} must be writable, got: {reason(error)}") from None


def _is_later(path: Path) -> bool:
    """Is this in a folder that is being written here, and forced to the disk when it is whole?"""
    ending = f".{os.getpid()}.tmp"
    return any(part.startswith(".") and part.endswith(ending) for part in path.parts[:-1])


def _keep_all(folder: Path) -> None:
    """Force a folder with all that is in it to the disk, which takes many about as fast as one."""
    inside = [path for path in folder.rglob("*") if not path.is_symlink()]
    with ThreadPoolExecutor(max_workers=8) as threads:
        list(threads.map(_keep, (*inside, folder)))


def _keep(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk: a rename is lost without."""
    folder, windows = path.is_dir(), os.name == "nt"
    if folder and windows:  # there a folder cannot be opened, and a rename is safe
        return
    try:
        descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder or error.errno not in NO_SYNC:
            raise
