"""The table of kernels, and which of them can take a call."""

import warnings
from collections.abc import Callable
from typing import Protocol, cast

from torch import Tensor

from heedful.errors import ConfigError, KernelError, KernelWarning, UnsupportedError
from heedful.kernels import flex, plain, sdpa
from heedful.kernels.call import Call, Missing
from heedful.kernels.cpu import build
from heedful.kernels.cpu import kernel as cpu


class Kernel(Protocol):
    """One way to compute a call; a kernel is a module with these functions.

    It may also have `avoided`, which says why "auto" leaves it alone although it could run.
    """

    def refuses(self, call: Call) -> str | None:
        """Why it cannot take this call; `None`: it can."""
        ...

    def run(self, call: Call) -> Tensor:
        """The answer to a call that it does not refuse."""
        ...


Avoided = Callable[[Call], str | None]

# In the order of preference where nothing is measured.
NAMES = ("cpu", "plain", "flex", "sdpa")

KERNELS: dict[str, Kernel] = {
    name: cast(Kernel, module) for name, module in zip(NAMES, (cpu, plain, flex, sdpa), strict=True)
}
_warned: list[str] = []
AVOIDING: dict[str, Avoided] = {
    "cpu": cpu.avoided,
    "plain": plain.avoided,
    "flex": flex.avoided,
}


def not_now(name: str, kernel: Kernel, call: Call) -> str | None:
    """Why "auto" cannot or will not take this kernel; `None`: it may."""
    reason = kernel.refuses(call)
    if reason is None and name in AVOIDING:
        return AVOIDING[name](call)
    return reason


def candidates(call: Call) -> tuple[str, ...]:
    """What "auto" may choose from; torch's kernel is always among them.

    Where the native kernel cannot be had at all, one line says so, once per process.
    """
    reasons = {name: not_now(name, kernel, call) for name, kernel in KERNELS.items()}
    missing = reasons["cpu"]
    if isinstance(missing, Missing) and not _warned:
        _warned.append(missing)
        if build.switched_on():
            warnings.warn(
                f"attention is slower than it could be: {_line(missing)}", KernelWarning, 2
            )
    return tuple([name for name, reason in reasons.items() if reason is None])


def _line(reason: str) -> str:
    """The first line; where that only announces the next one, as a compiler's words, both."""
    line, _, rest = reason.partition("\n")
    more = next((words.strip() for words in rest.splitlines() if words.strip()), "")
    return f"{line} {more}" if more and line.endswith(":") else line


def first(call: Call) -> str:
    """The most preferred candidate."""
    for name, kernel in KERNELS.items():
        if not not_now(name, kernel, call):
            return name
    raise KernelError(f"a kernel must take the call, got none of {', '.join(NAMES)}")


def named(impl: str, call: Call) -> Kernel:
    """The kernel that was asked for by name.

    Raises:
        ConfigError: There is none of that name.
        KernelError: It cannot be had on this machine.
        UnsupportedError: It cannot take this call.
    """
    kernel = KERNELS.get(impl)
    if kernel is None:
        raise ConfigError(f"impl must be one of auto, {', '.join(NAMES)}, got {impl!r}")
    reason = kernel.refuses(call)
    if reason is None:
        return kernel
    error = KernelError if isinstance(reason, Missing) else UnsupportedError
    raise error(f"impl={impl!r} must be able to run, got: {reason}")
