"""Two or more ways to do one thing, timed in turns in one process."""

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Times:
    """Seconds of one way, round by round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def in_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Times]:
    """Run every way once unmeasured, then all of them in turn, `rounds` times."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def ratio(baseline: Times, ours: Times) -> str:
    """How many times faster `ours` is: the median over rounds, and the middle half."""
    pairs = zip(baseline.rounds, ours.rounds, strict=True)
    ratios = sorted(slow / fast for slow, fast in pairs)
    quarter = len(ratios) // 4
    return f"{statistics.median(ratios):.2f}x ({ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})"


def hardware() -> str:
    """One word for file names: processor features and cores."""
    return f"{torch.backends.cpu.get_cpu_capability().lower()}_{torch.get_num_threads()}-threads"


def write(name: str, lines: list[str]) -> None:
    """Write a result with the command, the hardware, the versions and the date."""
    today = datetime.now(UTC).date().isoformat()
    packages = ", ".join(f"{package} {version(package)}" for package in ("heedful", "torch"))
    header = [
        f"# {name}",
        "",
        f"* command: `python {' '.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        f"* hardware: {processor()}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"* versions: {packages}, Python {platform.python_version()}",
        f"* date: {today}",
        "",
    ]
    path = RESULTS / f"{name}_{hardware()}_{today}.md"
    path.write_text("\n".join([*header, *lines, ""]), encoding="utf-8")
    print("\n".join(lines))
    print(f"written to {path}", file=sys.stderr)


def processor() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
