"""Write a result beside its hardware, versions and command."""

import sys
from pathlib import Path

from heedful.bench.environment import environment

RESULTS = Path(__file__).parent / "results"


def write(name: str, lines: list[str]) -> None:
    """Write a result with the command, the hardware, the versions and the date."""
    here = environment()
    versions = ", ".join(f"{package} {number}" for package, number in here.versions.items())
    hardware = f"{here.instructions.lower()}_{here.threads}-threads"
    header = [
        f"# {name}",
        "",
        f"* command: `python {' '.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        f"* hardware: {here.processor}, {here.threads} threads, {here.instructions}",
        f"* versions: {versions}",
        f"* date: {here.date}",
        "",
    ]
    path = RESULTS / f"{name}_{hardware}_{here.date}.md"
    path.write_text("\n".join([*header, *lines, ""]), encoding="utf-8")
    print("\n".join(lines))
    print(f"written to {path}", file=sys.stderr)
