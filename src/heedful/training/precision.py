"""Whether bf16 pays on this machine: measured on the very model and batch, not guessed."""

import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import nn

from heedful.distributed.fsdp import holds_shares
from heedful.tasks.base import Dataset
from heedful.training.learners import Supervised
from heedful.training.stream import Stream

Step = Callable[[], None]


def faster_in_bf16(step: Step, *, device: str, seconds: float = 2.0) -> bool:
    """Run `step` in fp32 and under bf16 autocast in turns; say whether bf16 is clearly faster.

    Args:
        step: One forward and backward pass. Random numbers drawn are given back.
        device: Type of device, e.g. `cpu`.
        seconds: How long to measure, without the first run of each.

    Returns:
        Whether the median bf16 pass takes less than 0.9 of the median fp32 pass.
    """
    times: dict[bool, list[float]] = {False: [], True: []}
    with torch.random.fork_rng():
        for low in times:
            _timed(step, low, device)  # the first run builds kernels
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline or len(times[True]) < 3:
            for low, measured in times.items():
                measured.append(_timed(step, low, device))
    return statistics.median(times[True]) < 0.9 * statistics.median(times[False])


def measured_precision(
    learner: Supervised, data: Dataset, stream: Stream, device: torch.device
) -> str:
    """Measure passes over batches of three shapes; return `bf16` or `fp32`.

    Args:
        learner: Whose loss and model, which is left as it is, running statistics included. Of one
            that is spread over processes another one is built.
        data: The training split.
        stream: Its batches.
        device: Where the model is.
    """
    model = learner.bare
    if holds_shares(model):
        with torch.random.fork_rng():
            model = learner.task.build().to(device).train()
    ranked = sorted(stream.batches(epoch=0), key=len)
    chosen = [ranked[len(ranked) * quarter // 4] for quarter in (1, 2, 3)]

    def step() -> None:
        for rows in chosen:
            model.zero_grad()
            learner.loss(model, data.batch(rows, device))[0].backward()

    with _kept_buffers(model):
        low = faster_in_bf16(step, device=device.type)
    model.zero_grad()
    return "bf16" if low else "fp32"


@contextmanager
def _kept_buffers(model: nn.Module) -> Generator[None]:
    """Give back what layers such as BatchNorm count: the clock decides on how many passes."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def _timed(step: Step, low: bool, device: str) -> float:
    start = time.perf_counter()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=low):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
