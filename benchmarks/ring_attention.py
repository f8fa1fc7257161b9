"""Ring attention in two processes of one core each, against one process on one core.

What one process holds at most: its inputs, the gradient that comes in, the output and all
gradients, with whatever is needed on the way. Times are taken in turns in the same two processes:
while one computes alone, the other waits.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from _measure import write
from torch import Tensor

from heedful.bench.memory import run_with_peak
from heedful.bench.timing import Times, ratio
from heedful.distributed import ring_attend
from heedful.kernels.attend import attend
from heedful.mask import Mask

LENGTH, HEADS, DIM = 16_384, 8, 64
PROCESSES, ROUNDS = 2, 3
MEBIBYTE = 2**20
MASKS = {"causal": Mask.causal(), "all visible": None}


def train_on(length: int, attention: Callable[..., Tensor], mask: Mask | None) -> None:
    """Draw inputs, attend forward and backward, and drop it all."""
    shape = (1, HEADS, length, DIM)
    inputs = [torch.randn(shape).requires_grad_() for _ in range(3)]
    attention(*inputs, mask=mask).backward(torch.randn(shape))


def alone(mask: Mask | None) -> None:
    train_on(LENGTH, attend, mask)


def shared(mask: Mask | None) -> None:
    train_on(LENGTH // PROCESSES, ring_attend, mask)


def seconds(call: Callable[[], object]) -> float:
    """How long it takes until every process is done."""
    dist.barrier()
    began = time.perf_counter()
    call()
    dist.barrier()
    return time.perf_counter() - began


def measure(rank: int, folder: Path) -> None:
    """Take part in all measurements; the first process writes them down."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank]})
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=PROCESSES
    )
    found: dict[str, Any] = {}
    for name, mask in MASKS.items():
        first = rank == 0
        one = (lambda mask=mask: alone(mask)) if first else lambda: None
        both = lambda mask=mask: shared(mask)  # noqa: E731
        one(), both()  # what is loaded, compiled or measured once
        peaks = [run_with_peak(call)[1] for call in (one, both) if not dist.barrier()]
        rounds = [(seconds(one), seconds(both)) for _ in range(ROUNDS)]
        found[name] = peaks, rounds
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mp.spawn(measure, (folder,), nprocs=PROCESSES)
        found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    lines = [
        f"Batch 1, {HEADS} heads of {DIM}, float32, {LENGTH:,} tokens, forward and backward. "
        f"{PROCESSES} processes with one thread on a core of their own each, over gloo on "
        f"loopback, against one process with one thread on one core; {ROUNDS} rounds in turns. "
        "Memory is what one process grows by at most, its inputs and all gradients included.",
        "",
        "| mask | one process, MiB | each of two, MiB | share | one core, s | two cores, s "
        "| share of the time, median (middle half) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (peaks, rounds) in found.items():
        one, two = (Times(tuple(each)) for each in zip(*rounds, strict=True))
        share = ratio(two, one)  # two / one
        lines.append(
            f"| {name} | {peaks[0] / MEBIBYTE:,.0f} | {peaks[1] / MEBIBYTE:,.0f} "
            f"| {peaks[1] / peaks[0]:.3f} | {one.median:.2f} | {two.median:.2f} "
            f"| {share.median:.3f} ({share.low:.3f} to {share.high:.3f}) |"
        )
    write("ring-attention", lines)


if __name__ == "__main__":
    main()
