"""How long `heedful --help` and the first answer of `heedful predict` take, against empty Pythons.

With `--before FOLDER`, the sources of another commit, each in turns with it: its answer too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import IO, cast

from _measure import write

from heedful.bench.timing import in_turns

HERE = Path(__file__).parents[1] / "src"
WAYS = {
    "an empty Python": ["-c", "pass"],
    "heedful --help": ["-m", "heedful", "--help"],
    "heedful --version": ["-m", "heedful", "--version"],
}
ROUNDS = 15
CONFIG = """\
[train]
steps = 20
evaluate_every = 1.0
[decode]
max_length = 8
"""  # what it writes is nonsense, and as long as a phrase


def first_line(words: list[str], source: Path, folder: Path) -> tuple[float, float]:
    """Seconds and processor seconds until a process writes a line; then it is ended."""
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-u", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with cast("IO[bytes]", process.stdout) as lines:
        line = lines.readline()
        seconds = time.perf_counter() - began
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    if not line:
        raise SystemExit(f"{words} must write a line, got none")
    return seconds, used.ru_utime + used.ru_stime


def answers(before: Path | None) -> Mapping[str, list[tuple[float, float]]]:
    """The first answers of both commits, and torch alone, in turns."""
    predict = ["-m", "heedful", "predict", "run", "in 3 days"]
    ways = {"import torch": (["-c", "import torch; print()"], HERE)}
    if before is not None:
        ways["heedful predict, before"] = (predict, before)
    ways["heedful predict"] = (predict, HERE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.toml").write_text(CONFIG, encoding="utf-8")
        train = [sys.executable, "-m", "heedful", "train", "t.toml", "-o", "run", "-q"]
        source = HERE if before is None else before  # an older one opens no newer run
        environment = os.environ | {"PYTHONPATH": str(source)}
        subprocess.run(train, cwd=folder, env=environment, check=True, capture_output=True)
        for words, source in ways.values():  # the first time writes bytecode
            first_line(words, source, folder)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (words, source) in ways.items():
                times[name].append(first_line(words, source, folder))
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path)
    before = parser.parse_args().before

    def runner(words: list[str]) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    times = in_turns({name: lambda w=words: runner(w) for name, words in WAYS.items()}, rounds=15)
    lines = ["Seconds from the start of the process to its end, of 15.", ""]
    lines += ["| command | median | longest |", "|---|---|---|"]
    lines += [
        f"| {name} | {measured.median:.2f} | {max(measured.rounds):.2f} |"
        for name, measured in times.items()
    ]
    lines += ["", f"Seconds from the start of the process to its first line, of {ROUNDS}.", ""]
    lines += ["| command | median (least to most) | of the processor |", "|---|---|---|"]
    for name, measured in answers(before).items():
        shown = (
            f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
            for each in zip(*measured, strict=True)
        )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    write("startup", lines)


if __name__ == "__main__":
    main()
