"""How much memory one call takes at most, as the operating system counts it."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_FORGET_THE_PEAK = "5"  # proc(5)


def peak_bytes(call: Callable[[], object]) -> int | None:
    """Return by how much the resident memory of this process grows at most while `call` runs.

    What `call` returns counts as well. Memory that the process holds already and gives to `call`
    again does not count; so all that is free goes back to the system first.

    Args:
        call: Run once, unmeasured, before, so that what is loaded or kept once does not count.

    Returns:
        Bytes, right to a MiB or so, because the system counts in lots; `None` where it does not
        tell (Linux does).
    """
    call()
    return run_with_peak(call)[1]


def run_with_peak(call: Callable[[], Result]) -> tuple[Result, int | None]:
    """Run `call` once, and return what it returns and by how much memory grew; see `peak_bytes`."""
    if not _can_reset():
        return call(), None
    gc.collect()
    _give_back()
    _RESET.write_text(_FORGET_THE_PEAK)
    before = _read("VmRSS")
    result = call()
    return result, max(0, _read("VmHWM") - before)


def _can_reset() -> bool:
    try:
        _RESET.write_text(_FORGET_THE_PEAK)
    except OSError:
        return False
    return _STATUS.exists()


def _give_back() -> None:
    """Let the C library return what is free to the system."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in every C library
        if trim is not None:
            trim(0)


def _read(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0
