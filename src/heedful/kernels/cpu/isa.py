"""The instruction sets that the native kernel is written for, and which of them this CPU has."""

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from heedful.errors import ConfigError

Isa = Literal["avx512bf16", "avx512", "avx2", "portable"]

CPUINFO = Path("/proc/cpuinfo")


class Instructions(NamedTuple):
    """What the compiler is told, and what the CPU must have."""

    compiler: tuple[str, ...]
    cpu: frozenset[str]


_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c")
_AVX512_CPU = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c"})

# best first
ISAS: dict[Isa, Instructions] = {
    # every CPU that has been built with the first has the second, for products of 8 bits
    "avx512bf16": Instructions(
        (*_AVX512, "-mavx512bf16", "-mavx512vnni"), _AVX512_CPU | {"avx512_bf16", "avx512_vnni"}
    ),
    "avx512": Instructions(_AVX512, _AVX512_CPU),
    "avx2": Instructions(("-mavx2", "-mfma", "-mf16c"), frozenset({"avx2", "fma", "f16c"})),
    "portable": Instructions((), frozenset()),
}


def supported(cpuinfo: Path | None = None) -> tuple[Isa, ...]:
    """The instruction sets of this CPU, best first; on other systems than Linux on x86-64 only
    "portable".

    Args:
        cpuinfo: Where the system describes its CPU.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32
    # the kernel lists what it lets programs use, which can be less than what the CPU has
    flags = _read(cpuinfo or CPUINFO, "flags").split() if x86 and sys.platform == "linux" else ()
    return tuple(isa for isa, instructions in ISAS.items() if instructions.cpu <= set(flags))


def chosen() -> Isa:
    """The best instruction set of this CPU, or the one that HEEDFUL_ISA names.

    Raises:
        ConfigError: HEEDFUL_ISA names one that does not exist or that this CPU does not have.
    """
    return checked(os.environ.get("HEEDFUL_ISA") or supported()[0], name="HEEDFUL_ISA")


def checked(isa: str, *, name: str = "isa") -> Isa:
    """The same, if this CPU has it.

    Raises:
        ConfigError: It has not, or nobody knows `isa`.
    """
    here = supported()
    for known in here:
        if known == isa:
            return known
    raise ConfigError(f"{name} must be one of {', '.join(here)} on this CPU, got {isa!r}")


def model() -> str:
    """The name of this CPU, or its architecture where the system does not tell."""
    return _read(CPUINFO, "model name") or platform.machine()


@cache
def _read(cpuinfo: Path, field: str) -> str:
    """The first value of a field."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
