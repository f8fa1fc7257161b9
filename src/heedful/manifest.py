"""What a folder held when it was written: sizes and hashes, checked file by file as they are read.

A text that is cut at the end of a line, and numbers with one bit turned over, look like any others.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from heedful.errors import RunError
from heedful.files import read_json, read_whole, reason, write_json
from heedful.texts import parse_json

MANIFEST = "manifest.json"
FORMAT = 1
TEXT = 1 << 26  # bytes: more than any text of a run has, and quickly read


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A folder whose files are what they were when it was written, or an error.

    Args:
        folder: Where.
        holder: What it is, for errors.
        name: Of the folder when it was written, where that was kept.
        files: Size and hash of each file; `None` where the folder is older than manifests, and its
            files are taken as they are.
    """

    folder: Path
    holder: str
    name: str | None = None
    files: Mapping[str, tuple[int, str]] | None = None

    def read(self, name: str, *, most: int = TEXT) -> bytes:
        """Read one file of the folder, of at most `most` bytes.

        Raises:
            RunError: It is missing, is no ordinary file, or is not what was written.
        """
        path = self.folder / name
        listed = None if self.files is None else self.files.get(name, (-1, ""))
        content = read_whole(path, most=most, holder=self.holder)
        if listed is None:
            return content
        size, sha256 = listed
        if len(content) < size:
            raise RunError(f"{path} must be whole, got {len(content):,} of {size:,} bytes")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunError(
                f"{path} must be as it was written, got something else than {MANIFEST} names. "
                f"Bring it back; if the change is meant, delete {self.folder / MANIFEST}."
            )
        return content

    def json(self, name: str) -> Any:
        """Read one file of the folder as JSON.

        Raises:
            RunError: As for `read`, or it is no JSON.
        """
        return parse_json(self.read(name), self.folder / name)

    def holds(self, name: str) -> bool:
        """Say whether a file that not every folder has is there, or ought to be."""
        path = self.folder / name
        return path.is_symlink() or path.exists() or name in (self.files or ())


def seal(folder: Path, names: Iterable[str], *, name: str | None = None) -> None:
    """Write down what the named files of a folder hold.

    Args:
        folder: They are in it.
        names: Relative to it, with `/` between their parts.
        name: Of the folder, where a copy under another name has to be told from it.

    Raises:
        RunError: A file is missing, or the folder cannot be written.
    """
    files: dict[str, dict[str, int | str]] = {}
    for one in sorted(names):
        size, sha256 = hash_of(folder / one)
        files[one] = {"bytes": size, "sha256": sha256}
    named = {} if name is None else {"name": name}
    write_json(folder / MANIFEST, {"format": FORMAT, **named, "files": files})


def sealed(folder: Path, *, holder: str = "a run folder") -> Sealed:
    """Open a folder; nothing but its manifest is read.

    Raises:
        RunError: The manifest is damaged.
    """
    path = folder / MANIFEST
    if not (path.is_symlink() or path.exists()):
        return Sealed(folder=folder, holder=holder)
    plain = read_json(path)
    try:
        if plain["format"] != FORMAT:
            raise ValueError
        files = {_plain_name(one): _listed(entry) for one, entry in plain["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RunError(
            f"{path} must list files with their bytes and sha256, got {str(plain)[:80]!r}"
        ) from None
    name = plain.get("name")
    return Sealed(
        folder=folder, holder=holder, name=name if isinstance(name, str) else None, files=files
    )


def hash_of(path: Path) -> tuple[int, str]:
    """Return how many bytes a file has, and their SHA-256.

    Raises:
        RunError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return file.tell(), digest.hexdigest()
    except OSError as error:
        raise RunError(f"{path} must be readable, got: {reason(error)}") from None


def _plain_name(name: str) -> str:
    if not all(re.fullmatch(r"[\w-][\w.-]*", part) for part in name.split("/")):
        raise ValueError
    return name


def _listed(entry: dict[str, Any]) -> tuple[int, str]:
    size, sha256 = entry["bytes"], entry["sha256"]
    if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", cast(str, sha256)):
        raise ValueError
    return size, sha256
