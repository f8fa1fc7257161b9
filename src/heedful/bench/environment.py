"""On what a measurement was made: the processor, its threads, versions, the date."""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

_PROCESSOR = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a number depends on besides the code.

    Args:
        processor: Its name, or its architecture where the system does not tell.
        instructions: The widest that torch uses.
        threads: Of torch.
        versions: Of heedful, torch and Python.
        date: In UTC.
    """

    processor: str
    instructions: str
    threads: int
    versions: dict[str, str]
    date: str


def environment() -> Environment:
    """Look around."""
    versions = {package: version(package) for package in ("heedful", "torch")}
    return Environment(
        processor=processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        versions={**versions, "Python": platform.python_version()},
        date=datetime.now(UTC).date().isoformat(),
    )


def processor() -> str:
    """The processor's name, where the system tells."""
    if _PROCESSOR.exists():
        for line in _PROCESSOR.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
