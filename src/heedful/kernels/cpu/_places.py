"""Where compiled libraries lie: folders that nobody else can write, and files known to be whole."""

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from heedful.errors import KernelError, RunError
from heedful.files import read_json

try:
    import fcntl
except ImportError:  # not a Unix: two processes may then both compile, and one of them wins
    fcntl = None

UNUSED = 30 * 24 * 3600  # seconds until a library goes when another one comes


def folder() -> Path:
    """The user's cache of heedful, made if it is not there, or a folder in the temporary one.

    Raises:
        KernelError: Neither is writable for this user and for nobody else.
    """
    for path in folders():
        if is_writable(path):
            return path
    raise KernelError(
        f"a cache folder must be writable, by this user alone, got neither {_cache_home()} "
        "nor one for temporary files"
    )


def is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK)


def _cache_home() -> Path:
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the specification of these folders: a relative one is to be ignored
    return (named if named.is_absolute() else Path(os.path.expanduser("~/.cache"))) / "heedful"


def folders() -> Iterator[Path]:
    """Those that no other user can write, so that what lies there may run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    for place in (_cache_home, lambda: Path(tempfile.gettempdir()) / f"heedful-{user}"):
        with contextlib.suppress(OSError):
            path = place()
            if not path.is_absolute():  # nobody knows a home
                continue
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # whoever came first in the temporary folder may have laid a link
            if is_safe(path, follow=place is _cache_home):
                yield path


def is_safe(path: Path, *, follow: bool) -> bool:
    """It belongs to this user or to root, and nobody else can write it."""
    found = path.stat(follow_symlinks=follow)
    mine = not hasattr(os, "getuid") or found.st_uid in (os.getuid(), 0)
    return mine and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o022


def sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def whole(path: Path) -> dict[str, Any] | None:
    """What was noted when the library was written, if it is still as it was then."""
    try:
        kept = read_json(sidecar(path))
        if not is_safe(path, follow=False) or path.stat().st_size != kept["size"]:
            return None
        return kept if hashlib.sha256(path.read_bytes()).hexdigest() == kept["sha256"] else None
    except (OSError, RunError, KeyError, TypeError):
        return None


def prune(place: Path, isa: str) -> None:
    """Delete what belongs to libraries of this instruction set that nobody has loaded lately."""
    for path in place.glob(f"attention-{isa}-*"):
        with contextlib.suppress(OSError):
            owner = path.with_name(path.name.partition(".")[0] + ".so")
            used = [p.stat().st_mtime for p in (path, owner) if p.exists()]
            if time.time() - max(used, default=0) > UNUSED:
                path.unlink()


def touch(path: Path) -> None:
    """Note that the library is in use."""
    for part in (path, sidecar(path)):
        with contextlib.suppress(OSError):  # a cache that came with the machine
            os.utime(part)


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Generator[None]:
    """Let one compile at a time; where files cannot be locked, go on without."""
    with path.open("ab") as file:
        end = time.monotonic() + 2 * seconds  # whoever takes longer than two runs hangs
        while fcntl is not None and time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        try:
            yield
        finally:
            if fcntl is not None:
                # a process forked meanwhile holds the same lock, so closing would not be enough
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)
