"""What a search has measured, line by line, so that a killed one goes on where it was."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, cast

from heedful.errors import ConfigError, RunError
from heedful.files import read_whole, reason, write_bytes

FORMAT = 2
MOST = 1 << 28  # bytes; the journal of a search has some thousands
ENTRY = {"key", "value", "check"}


class Journal:
    """A growing file of JSON lines: first of which search it is, then a key and a value a line.

    Keys and values are anything that JSON can hold; a tuple is the same as a list. Every line says
    what it and all before it sum up to, so that one that was changed, lost or moved is noticed.
    Lines are only ever added. Only one process at a time may write: whoever opens a journal holds
    its folder (`heedful.locks`). Lines that come from elsewhere all the same stay, and end it.

    Args:
        path: Made where it is missing. A last line that a kill cut off is dropped from the file,
            and a journal without any value gives way to another search.
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
        lines = lines[:-1]  # what follows the last end of a line was cut off
        same = self._is_same(first, json.loads(header)["fingerprint"], empty=not lines)
        # by an earlier call, which may have put nothing into it
        self.begun = same and bool(content)
        if not same:
            first = header.encode()
        self._sum = _check("", header)
        self._values = dict(self._entries(lines))
        whole = b"".join(line + b"\n" for line in [first, *lines])
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
        check = _check(self._sum, name, text)
        line = f'{{"key": {name}, "value": {text}, "check": "{check}"}}\n'.encode()
        try:
            with open(self.path, "r+b", opener=_appending) as file:
                self._drop_half_a_line(file)
                try:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    with suppress(OSError):  # nothing but what this call has written
                        file.truncate(self._size)
                    raise
        except OSError as error:
            raise RunError(f"{self.path} must be writable, got: {reason(error)}") from None
        self._size += len(line)
        self._sum = check
        self._values[name] = json.loads(text)

    def _drop_half_a_line(self, file: BinaryIO) -> None:
        """Take back what a write that failed may have left; whole lines are never taken back."""
        size = os.fstat(file.fileno()).st_size
        file.seek(self._size)
        if size < self._size or b"\n" in file.read():
            raise RunError(
                f"{self.path} must be written by one process, got "
                f"{'lines of another one' if size > self._size else 'a file that is shorter now'}"
            )
        file.truncate(self._size)

    def _read(self) -> bytes:
        if not os.path.lexists(self.path):
            return b""
        return read_whole(self.path, most=MOST, holder="a search")

    def _is_same(self, first: bytes, fingerprint: dict[str, Any], *, empty: bool) -> bool:
        header = _mapping(first)
        if "heedful_journal" not in header:
            raise RunError(f"{self.path} must be a journal of heedful, got another file")
        if header["heedful_journal"] != FORMAT:
            raise RunError(
                f"{self.path} must be of format {FORMAT}, got {header['heedful_journal']!r}"
            )
        theirs = header.get("fingerprint")
        different = list(differences(fingerprint, theirs))
        if different and not (empty and isinstance(theirs, dict)):
            raise RunError(
                f"journal must be of the same search, got a difference in {', '.join(different)}. "
                f"Delete {self.path} or choose another output."
            )
        return not different

    def _entries(self, lines: list[bytes]) -> Iterator[tuple[str, Any]]:
        for number, line in enumerate(lines, 2):
            entry = _mapping(line)
            if entry.keys() != ENTRY:
                raise RunError(f"{self.path} must be whole, got damaged JSON in line {number}")
            try:
                name, text = _text(entry["key"], "key"), _text(entry["value"], "value")
            except ConfigError:  # a number that is none
                name = text = ""
            self._sum = _check(self._sum, name, text)
            if entry["check"] != self._sum:
                raise RunError(
                    f"{self.path} must be whole, got a sum in line {number} that is not that of "
                    "the lines up to there"
                )
            yield name, entry["value"]


def _appending(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND)


def _check(before: str, *texts: str) -> str:
    """What a line and all before it sum up to."""
    return blake2b("\n".join([before, *texts]).encode(), digest_size=8).hexdigest()


def _text(value: Any, what: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} must be plain JSON, got: {error}") from None


def _mapping(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], content) if isinstance(content, dict) else {}


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted names under which two mappings of plain data differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{name}" if path else name
            if (name in ours) != (name in theirs):
                yield inner
            else:
                yield from differences(ours[name], theirs[name], inner)
    elif ours != theirs:
        yield path or "fingerprint"
