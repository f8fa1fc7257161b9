"""Which kernel runs: the fastest one, measured once per machine and kind of call."""

import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch

from heedful.errors import ConfigError
from heedful.kernels import _measure, _table
from heedful.kernels._kernels import KERNELS, candidates, first
from heedful.kernels._shape import Shape, exact, shape_of
from heedful.kernels.call import Call
from heedful.listeners import in_memory, unobserved

VARIABLE = "HEEDFUL_CHOICE"
TIE = 1.03  # the native kernel may take this many times as long and is still preferred
REMEMBERED = 4096  # exact sizes, after which they are forgotten

Key = tuple[Shape, tuple[str, ...]]


class Row(NamedTuple):
    """What was measured for one kind of call.

    Args:
        shape: The kind of call, in words.
        chosen: The kernel that runs.
        seconds: Of each candidate; `None`: it failed.
    """

    shape: str
    chosen: str
    seconds: dict[str, float | None]


_chosen: dict[Key, str] = {}
# exact sizes, to spare a call the rounding: what runs, and whether the native kernel could have
_quick: dict[tuple[object, ...], tuple[str, bool]] = {}
_lock = threading.Lock()


def choose(call: Call) -> str:
    """The kernel that "auto" runs.

    Measured once per kind of call, on random tensors, and kept in the user's cache folder: a second
    process does not measure again. The choice moves the last bits of results and nothing else, but
    those it moves: what must be the same bit for bit on two machines needs
    `HEEDFUL_CHOICE=static`. Nothing is measured, and the first candidate runs, where the clock
    would not tell anything (while a graph is compiled or exported, for tensors without storage,
    under a mode or a transform), and with dropout, because kernels draw differently.

    Raises:
        ConfigError: `HEEDFUL_CHOICE` is neither "measured" nor "static".
    """
    if not measurable(call):
        return first(call)
    key = exact(call)
    kept = _quick.get(key)
    # which other kernels can take a call is all in the key
    if kept is not None and kept[1] is (KERNELS["cpu"].refuses(call) is None):
        return kept[0]
    _static()  # also where there is nothing to choose from
    names = candidates(call)
    name = fastest(call, names)
    if len(_quick) >= REMEMBERED:
        _quick.clear()
    _quick[key] = name, "cpu" in names
    return name


def fastest(call: Call, names: tuple[str, ...]) -> str:
    """The fastest of these kernels for calls like this one.

    Args:
        call: Not traced: see `choose`.
        names: Kernels that can take it, the preferred ones first.
    """
    if len(names) == 1:
        return names[0]
    key = (shape_of(call), names)
    chosen = _chosen.get(key)
    if chosen is not None:
        return chosen
    # one at a time: what is measured at the same moment is slower, and whoever waited finds it kept
    with _lock:
        chosen = _chosen[key] = names[0] if _static() else _best(_seconds(*key), names)
    return chosen


def measurable(call: Call) -> bool:
    """Would the clock tell anything, and would looking at it change nothing?"""
    return (
        call.dropout == 0
        and unobserved()
        and in_memory(call.query)
        and not (call.query.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def unmeasured(call: Call) -> str | None:
    """Why nothing is measured for this call; `None`: it is."""
    if _static():
        return f"nothing is measured, because {VARIABLE}=static"
    if call.dropout:
        return "nothing is measured with dropout, which every kernel draws in its own way"
    return None if measurable(call) else "nothing is measured while tensors are traced"


def seconds(call: Call, names: tuple[str, ...]) -> dict[str, float | None] | None:
    """What was measured for calls like this one; `None`: nothing was."""
    if len(names) == 1 or unmeasured(call) is not None:
        return None
    return _table.find(_table.name(shape_of(call), names))


def table() -> list[Row]:
    """All that was measured on this machine, for people."""
    rows: list[Row] = []
    for words, times in _table.everything().items():
        rows.append(Row(words, _best(times, tuple(times)), times))
    return rows


def forget() -> None:
    """Drop what this process knows; what the cache folder holds is read again when it is needed."""
    with _lock:
        _chosen.clear()
        _quick.clear()
        _table.forget()


def _static() -> bool:
    value = os.environ.get(VARIABLE) or "measured"
    if value not in ("measured", "static"):
        raise ConfigError(f"{VARIABLE} must be static or measured, got {value!r}")
    return value == "static"


def _seconds(shape: Shape, names: tuple[str, ...]) -> dict[str, float | None]:
    words = _table.name(shape, names)
    times = _table.find(words)
    if times is None:
        times = _measure.measure(shape, names)
        _table.keep(words, times)
    return times


def _best(times: dict[str, float | None], names: Sequence[str]) -> str:
    """The fastest; the native kernel where it is about as fast, the last one where all failed."""
    known = {name: time for name in names if (time := times.get(name)) is not None}
    if not known:
        return names[-1]
    least = min(known.values())
    return next(name for name in known if known[name] <= least * (TIE if name == "cpu" else 1))


def _after_fork() -> None:
    """A child must not wait for a lock that a thread of its parent held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
