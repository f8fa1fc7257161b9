"""Translation in two checkouts, in turns: training, and writing.

Each checkout has a process of its own, and only one of them works at a time. A round trains the
network of the demo for so many steps, measured from the first logged step on, and translates
phrases with what came of it; the ratio is of the rounds of a pair, which follow each other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS, ROUNDS, PHRASES = 120, 9, 192

WORKER = r"""
import contextlib, json, shutil, sys, time
import heedful
folder, steps, phrases = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = folder + "/config.toml"
open(config, "w").write(
    f'output = "{folder}/run"\n[data]\nname = "cldr"\nexamples = 12000\ndev = 200\ntest = 200\n'
    f'[train]\nsteps = {steps}\nprecision = "fp32"\nevaluate_every = 1.0\n'
)
for line in sys.stdin:
    seconds = {}
    def listen(event):
        if type(event).__name__ == "Step":
            seconds[event.step] = event.seconds
    shutil.rmtree(folder + "/run", ignore_errors=True)
    with contextlib.redirect_stdout(sys.stderr):
        run = heedful.train(config, on_event=listen)
        first, last = min(seconds), max(seconds)
        sources = [example.source for example in run.examples("test")][:phrases]
        run.translator.translate(sources[:8])
        began = time.perf_counter()
        written = run.translator.translate(sources)
        writing = time.perf_counter() - began
    rate = (last - first) / (seconds[last] - seconds[first])
    print(json.dumps([rate, len(sources) / writing, written[:3]]), flush=True)
"""


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            _worker(source, Path(folder) / name, arguments.steps)
            for name, source in (("before", arguments.before.resolve()), ("after", here))
        ]
        for worker in workers:
            _round(worker)  # builds kernels
        found = []
        for number in range(arguments.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            pair = {side: _round(workers[side]) for side in order}
            found.append((pair[0], pair[1]))
            print(pair, file=sys.stderr)
    same = all(before[2] == after[2] for before, after in found)
    lines = ["| | before | after | after / before |", "|---|---|---|---|"]
    for column, what in ((0, "training, steps/s"), (1, "writing, phrases/s")):
        sides = [statistics.median(pair[side][column] for pair in found) for side in (0, 1)]
        ratios = sorted(after[column] / before[column] for before, after in found)
        spread = f"{statistics.median(ratios):.3f}x ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        lines.append(f"| {what} | {sides[0]:.2f} | {sides[1]:.2f} | {spread} |")
    told = f"{arguments.rounds} pairs of {arguments.steps} steps, in turns"
    lines += ["", f"{told}; the median and the spread of the pairs."]
    lines.append(f"Both write {'the same' if same else 'other'} texts.")
    from _measure import write

    write("translation-before-after", lines)


def _worker(source: Path, folder: Path, steps: int) -> "subprocess.Popen[str]":
    folder.mkdir()
    words = [sys.executable, "-c", WORKER, str(folder), str(steps), str(PHRASES)]
    return subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": str(source / "src"), "HEEDFUL_CHOICE": "static"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _round(worker: "subprocess.Popen[str]") -> list[float]:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker must have pipes")
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


if __name__ == "__main__":
    main()
