"""Every task by two processes beside one that takes twice the batches a step: `torchrun` for real.

    OMP_NUM_THREADS=1 python benchmarks/data_parallel.py [TASK...] [--strategy fsdp] [--resume]

With `--resume` two processes begin what one ends, beside the other way round. The config is what
`heedful new TASK` writes, with fewer examples, without dropout and in single precision. Losses are
compared step by step, and how far weights have moved after the last one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _measure import write
from safetensors.torch import load_file

from heedful.cli import main as heedful
from heedful.config.base import dump
from heedful.config.file import dump_toml
from heedful.tasks.catalog import BUILT_IN, parse_config
from heedful.training import loop
from heedful.training.checkpoint import WEIGHTS, read_pointer
from heedful.training.metrics import read_metrics
from heedful.training.run import Run, build

FEW = {"examples": 2_000, "train": 1_000, "dev": 64, "test": 64}  # at most, where data is made
LONGEST = 600  # seconds of a training
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python")
FIRST_LINE = "heedful: "


def config_of(task: str, folder: Path, **train: Any) -> Path:
    """Write the default config of a task, without what differs between processes."""
    tables = dump(parse_config({"task": task}))
    data = tables["data"]
    data |= {name: min(data[name], most) for name, most in FEW.items() if name in data}
    model = tables.get("model", {})
    model |= {name: 0.0 for name in model if name.endswith("dropout")}
    tables["train"] |= {"evaluate_every": 1.0, "precision": "fp32", "patience": None, **train}
    tables["train"] = {name: each for name, each in tables["train"].items() if each is not None}
    path = folder.with_suffix(".toml")
    path.write_text(dump_toml(parse_config({**tables, "output": str(folder)})), encoding="utf-8")
    return path


def train(arguments: Sequence[object], *, processes: int) -> tuple[str, float]:
    """Train as a user would; what is wrong, if anything, and how many seconds it took."""
    words = [sys.executable, __file__, "--train", *map(str, arguments)]
    if processes > 1:
        words = [sys.executable, *TORCHRUN, *words]
    began = time.monotonic()
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {LONGEST} s", LONGEST
    said = [line for line in done.stderr.splitlines() if line.startswith(FIRST_LINE)]
    wrong = said[0] if said else done.stderr[-2000:]
    return wrong if done.returncode else "", time.monotonic() - began


def moved(folder: Path) -> dict[str, torch.Tensor]:
    """What the training has added to each parameter."""
    run = Run(folder)
    torch.manual_seed(run.config.seed)
    fresh = dict(build(run.task).named_parameters())
    last = load_file(folder / "checkpoints" / read_pointer(folder).last / WEIGHTS)
    return {name: last[name] - each.detach() for name, each in fresh.items()}


def beside(one: Path, two: Path) -> tuple[int, float, float]:
    """Steps, the largest difference of a loss, and of all weights, in parts of how far those moved.

    A weight that the loss does not depend on, as a bias before softmax, moves by Adam's rounding.
    """
    logged = [[x["loss"] for x in read_metrics(folder) if "loss" in x] for folder in (one, two)]
    losses = max(abs(a - b) / abs(a) for a, b in zip(*logged, strict=True))
    first, second = moved(one), moved(two)
    apart = sum(float((second[name] - first[name]).square().sum()) for name in first)
    whole = sum(float(each.square().sum()) for each in first.values())
    return len(logged[0]), losses, (apart / whole) ** 0.5


def row(task: str, folder: Path, strategy: str, steps: int) -> str:
    """One line of the table."""
    one, two = folder / f"{task}-1", folder / f"{task}-2"
    spread = config_of(task, two, steps=steps, strategy=strategy)
    wrong, seconds = train([spread], processes=2)
    if wrong:
        return f"| {task} | {wrong} | | | {seconds:.0f} |"
    wrong, _ = train([config_of(task, one, steps=steps, accumulate=2)], processes=1)
    if wrong:
        return f"| {task} | one process: {wrong} | | | |"
    count, losses, weights = beside(one, two)
    return f"| {task} | {count} | {losses:.1e} | {weights:.1e} | {seconds:.0f} |"


def resumed_row(task: str, folder: Path, strategy: str, steps: int) -> str:
    """One line of the table of trainings that go on with another number of processes."""
    folders, began = (folder / f"{task}-2-1", folder / f"{task}-1-2"), time.monotonic()
    for first, place in zip((2, 1), folders, strict=True):
        begun = config_of(task, place, steps=steps // 2, strategy=strategy, accumulate=3 - first)
        more = [f"--set=train.{each}" for each in (f"steps={steps}", f"accumulate={first}")]
        for processes, words in ((first, [begun]), (3 - first, ["--resume", place, *more])):
            wrong, _ = train(words, processes=processes)
            if wrong:
                return f"| {task} | {processes} processes, {words[0]}: {wrong} | | | |"
    count, losses, weights = beside(*folders)
    seconds = time.monotonic() - began
    return f"| {task} | {count} | {losses:.1e} | {weights:.1e} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=[*BUILT_IN])
    parser.add_argument("--strategy", choices=("ddp", "fsdp"), default="ddp")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--train", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        loop.LOG_EVERY = 1
        heedful(["train", *options.train, "--quiet"])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    how = f"(gloo, train.strategy = {options.strategy})"
    said = (
        f"Half of the steps by two processes of `torchrun` {how} and half by one with "
        "train.accumulate = 2, beside the halves the other way round."
        if options.resume
        else f"Two processes by `torchrun` {how} beside one with train.accumulate = 2."
    )
    make = resumed_row if options.resume else row
    lines = [
        said,
        "",
        "| task | steps | loss differs by | weights differ by | seconds |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as made:
        for task in options.tasks:
            lines.append(make(task, Path(made), options.strategy, options.steps))
            print(lines[-1], flush=True)
    write(f"{options.strategy}-tasks{'-resumed' * options.resume}", lines)


if __name__ == "__main__":
    main()
