"""`heedful.attend` of two source trees, call by call in turns: time and peak memory.

    git worktree add /tmp/before c85be1d
    python benchmarks/attend_before_after.py /tmp/before/src src

Each tree runs in a process of its own that stays; the two are asked in turns, which of them first
changing from round to round, so that other load meets both alike. Printed per case: the median of
each, the median of the quotients of a round (after / before, below 1 is faster), their middle half,
and the growth of memory during one call.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Case(NamedTuple):
    """One kind of call.

    Args:
        name: For people.
        mask: "none", "causal", "lengths", "window" or "dense".
        queries: Their number; keys are `keys`.
        keys: Their number.
        backward: Also the gradients?
        dtype: Of all tensors.
        dropout: Share of the weights.
        bias: Is one added?
        impl: As for `attend`.
        batch: Texts.
    """

    name: str
    mask: str = "none"
    queries: int = 256
    keys: int = 256
    backward: bool = False
    dtype: str = "float32"
    dropout: float = 0.0
    bias: bool = False
    impl: str = "auto"
    batch: int = 4


CASES = (
    Case("forward", "causal"),
    Case("forward, long", "causal", 2048, 2048, batch=1),
    Case("forward, short", "lengths", 20, 20, batch=64),
    Case("forward, tiny", "causal", 8, 8, batch=1),
    Case("forward, dense mask", "dense"),
    Case("forward, sdpa", "lengths", impl="sdpa"),
    Case("forward, float64", "causal", dtype="float64"),
    Case("training", "causal", backward=True),
    Case("training, short", "lengths", 20, 20, backward=True, batch=64),
    Case("training, bf16", "lengths", 20, 20, backward=True, batch=64, dtype="bfloat16"),
    Case("training, bias", "causal", backward=True, bias=True),
    Case("training, dropout", "lengths", backward=True, dropout=0.1),
    Case("training, sdpa", "dense", backward=True, impl="sdpa"),
    Case("decoding", "causal", 1, 1024),
    Case("decoding, cache", "lengths", 1, 1024),
    Case("decoding, bf16", "lengths", 1, 1024, dtype="bfloat16"),
)
HEADS, DIM, SHORTEST = 8, 64, 0.02  # seconds of one sample, at least


# ---- the process of one tree ---------------------------------------------------------------------


def work() -> None:
    """Answer one question a line: a case, how many calls (0: how many it takes), or memory."""
    ways: dict[int, Callable[[], None]] = {}
    for line in sys.stdin:
        number, count, memory = json.loads(line)
        if number not in ways:
            ways[number] = way_of(CASES[number])
            ways[number]()
        print(json.dumps(answer(ways[number], count, memory)), flush=True)


def answer(way: Callable[[], None], count: int, memory: bool) -> float:
    if memory:
        return growth(way)
    if not count:
        began = time.perf_counter()
        way()
        return max(1, round(SHORTEST / max(time.perf_counter() - began, 1e-6)))
    began = time.perf_counter()
    for _ in range(count):
        way()
    return (time.perf_counter() - began) / count


def growth(way: Callable[[], None]) -> float:
    """MiB that one call takes at most."""
    from heedful.bench.memory import peak_bytes

    return (peak_bytes(way) or 0) / 2**20


def way_of(case: Case) -> Callable[[], None]:
    import heedful
    from heedful import Mask

    generator = torch.Generator().manual_seed(1)
    dtype = getattr(torch, case.dtype)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    shapes = [(case.batch, length, HEADS, DIM) for length in (case.queries, case.keys, case.keys)]
    tensors = [draw(*shape).transpose(1, 2).requires_grad_(case.backward) for shape in shapes]
    lengths = torch.arange(case.batch) % 7 + case.keys - 7
    mask = {
        "none": lambda: None,
        "causal": Mask.causal,
        "lengths": lambda: Mask.lengths(lengths),
        "window": lambda: Mask.window(64),
        "dense": lambda: Mask.dense(torch.rand(case.queries, case.keys, generator=generator) < 0.9),
    }[case.mask]()
    bias = draw(1, HEADS, case.queries, case.keys) if case.bias else None
    given: dict[str, Any] = {"mask": mask, "bias": bias, "dropout": case.dropout}

    def way() -> None:
        with torch.set_grad_enabled(case.backward):
            output = heedful.attend(*tensors, **given, impl=case.impl)
        if case.backward:
            torch.autograd.grad(output, tensors, torch.ones_like(output))

    return way


# ---- the process that asks -----------------------------------------------------------------------


class Worker:
    """The process of one tree."""

    def __init__(self, tree: Path, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
        environment["HEEDFUL_CHOICE"] = "static"  # the same kernel on both sides
        command = [sys.executable, __file__, "--work"]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, number: int, count: int = 0, *, memory: bool = False) -> float:
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("a worker must be listening, got none")
        print(json.dumps([number, count, memory]), file=self.process.stdin, flush=True)
        return float(json.loads(self.process.stdout.readline()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare heedful.attend of two trees.")
    parser.add_argument("before", type=Path, nargs="?", help="a folder that holds heedful")
    parser.add_argument("after", type=Path, nargs="?", help="another one")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work()
    if options.before is None or options.after is None:
        parser.error("two trees are needed")
    workers = [Worker(tree.resolve(), options.threads) for tree in (options.before, options.after)]
    print(f"{'case':22} {'before':>10} {'after':>10} {'after / before':>22} {'MiB':>15}")
    for number, case in enumerate(CASES):
        if case.name.startswith(options.only):
            print(row(case, number, workers, options.rounds), flush=True)
    for worker in workers:
        worker.process.terminate()
    return None


def row(case: Case, number: int, workers: list[Worker], rounds: int) -> str:
    count = int(max(worker.ask(number) for worker in workers))
    samples: list[list[float]] = [[], []]
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            samples[which].append(workers[which].ask(number, count))
    shares = [after / before for before, after in zip(*samples, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    peaks = [min(worker.ask(number, memory=True) for _ in range(5)) for worker in workers]
    times = [f"{statistics.median(found) * 1e6:8.1f} us"[:11] for found in samples]
    return (
        f"{case.name:22} {times[0]:>10} {times[1]:>10}   {middle:5.3f} ({low:.3f} to {high:.3f}) "
        f"{peaks[0]:6.1f} {peaks[1]:6.1f}"
    )


if __name__ == "__main__":
    main()
