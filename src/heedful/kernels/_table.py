"""The measured choices of this machine, in one file of the user's cache folder."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch

from heedful.errors import ConfigError, KernelError, RunError
from heedful.files import read_json, write_json
from heedful.kernels._shape import Shape, words_of

Times = dict[str, float | None]

_times: dict[str, Times] = {}
_read: list[Path] = []  # the file whose entries are in `_times`


def name(shape: Shape, names: tuple[str, ...]) -> str:
    """Under which name the times of these kernels stand."""
    return f"{words_of(shape)}: {' '.join(names)}"


def find(words: str) -> Times | None:
    """The times that this process or an earlier one has measured."""
    if not _read:
        path = place()
        _read.append(path or Path())
        _times.update(_content(path))
    return _times.get(words)


def keep(words: str, times: Times) -> None:
    """Note times here and, where it can be written, in the file; what others wrote there stays.

    Two processes that write at the same moment may lose what one of them has just measured, which
    is then measured again. A folder that cannot be written costs each process its own measuring.
    """
    _times[words] = times
    path = place()
    if path is None:
        return
    for other, known in _content(path).items():
        _times.setdefault(other, known)
    try:
        write_json(path, _times)
    except RunError:
        return


def everything() -> dict[str, Times]:
    """All of it, by name."""
    find("")
    return dict(sorted(_times.items()))


def forget() -> None:
    """Read the file again before the next answer."""
    _times.clear()
    _read.clear()


def place() -> Path | None:
    """The file; its name says for which CPU, torch and native kernel it holds. `None`: nowhere."""
    from heedful.kernels.cpu import build, isa

    try:
        sources = sorted([*build.SOURCES.glob("*.cpp"), *build.SOURCES.glob("*.h")])
        contents = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
        words = [isa.model(), isa.chosen(), str(torch.__version__), *contents]
        digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]
        return build.folder() / f"choices-{digest}.json"
    except (KernelError, ConfigError, OSError):
        return None


def _content(path: Path | None) -> dict[str, Times]:
    """What the file holds; a missing or damaged one, or one of another make, holds nothing."""
    try:
        found = {} if path is None else read_json(path)
    except RunError:
        return {}
    entries: dict[Any, Any] = found if isinstance(found, dict) else {}
    return {words: times for words, times in entries.items() if _are_times(times)}


def _are_times(times: Any) -> bool:
    return isinstance(times, dict) and all(
        isinstance(name, str) and (time is None or _is_time(time)) for name, time in times.items()
    )


def _is_time(time: Any) -> bool:
    return isinstance(time, float) and math.isfinite(time) and time > 0
