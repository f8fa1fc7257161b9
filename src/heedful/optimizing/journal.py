"""What a search has measured, line by line, so that a killed one goes on where it was."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heedful.errors import ConfigError, RunError
from heedful.files import write_bytes

FORMAT = 1


class Journal:
    """A growing file of JSON lines: first of which search it is, then a key and a value a line.

    Keys and values are anything that JSON can hold; a tuple is the same as a list. Only one process
    at a time may write.

    Args:
        path: Made where it is missing. A last line that a kill cut off is dropped from the file.
        fingerprint: All that values depend on besides their keys.

    Raises:
        RunError: The file belongs to another search, is no journal, is damaged before its last
            line, or cannot be read or written.
        ConfigError: `fingerprint` is not plain JSON.
    """

    def __init__(self, path: Path, *, fingerprint: Mapping[str, Any]) -> None:
        self.path = path
        header = _text({"heedful_journal": FORMAT, "fingerprint": dict(fingerprint)}, "fingerprint")
        content = self._read()
        first, *lines = (content or header.encode()).split(b"\n")
        self._check(first, json.loads(header)["fingerprint"])
        self._values = dict(self._entries(lines[:-1]))
        whole = b"".join(line + b"\n" for line in [first, *lines[:-1]])
        if whole != content:
            write_bytes(path, whole)
        self._size = len(whole)

    def __contains__(self, key: Any) -> bool:
        return _text(key, "key") in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Any) -> Any | None:
        """Return the value last put under `key`; `None` where there is none.

        Raises:
            ConfigError: `key` is not plain JSON.
        """
        return self._values.get(_text(key, "key"))

    def put(self, key: Any, value: Any) -> None:
        """Write a line and force it to the disk.

        Raises:
            ConfigError: `key` or `value` is not plain JSON; a number that is not finite is not.
            RunError: The file cannot be written.
        """
        name, text = _text(key, "key"), _text(value, "value")
        line = f'{{"key": {name}, "value": {text}}}\n'.encode()
        try:
            with self.path.open("r+b") as file:
                # over what a write that failed may have left
                file.seek(self._size)
                file.truncate()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(
                f"{self.path} must be writable, got: {error.strerror or error}"
            ) from None
        self._size += len(line)
        self._values[name] = json.loads(text)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RunError(
                f"{self.path} must be readable, got: {error.strerror or error}"
            ) from None

    def _check(self, first: bytes, fingerprint: dict[str, Any]) -> None:
        header = _mapping(first)
        if "heedful_journal" not in header:
            raise RunError(f"{self.path} must be a journal of heedful, got another file")
        if header["heedful_journal"] != FORMAT:
            raise RunError(
                f"{self.path} must be of format {FORMAT}, got {header['heedful_journal']!r}"
            )
        different = list(_differences(fingerprint, header.get("fingerprint")))
        if different:
            raise RunError(
                f"journal must be of the same search, got a difference in {', '.join(different)}. "
                f"Delete {self.path} or choose another output."
            )

    def _entries(self, lines: list[bytes]) -> Iterator[tuple[str, Any]]:
        for number, line in enumerate(lines, 2):
            entry = _mapping(line)
            if entry.keys() != {"key", "value"}:
                raise RunError(f"{self.path} must be whole, got damaged JSON in line {number}")
            yield _text(entry["key"], "key"), entry["value"]


def _text(value: Any, what: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} must be plain JSON, got: {error}") from None


def _mapping(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """The dotted names under which two mappings differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{name}" if path else name
            if (name in ours) != (name in theirs):
                yield inner
            else:
                yield from _differences(ours[name], theirs[name], inner)
    elif ours != theirs:
        yield path or "fingerprint"
