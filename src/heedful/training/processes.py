"""Several processes of one training: what one decides for all, and what each draws for itself."""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object
from torch import Tensor

from heedful.errors import HeedfulError, UnsupportedError

T = TypeVar("T")
KNOWN = ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_XPU", "MULTI_NPU", "MULTI_MLU", "MULTI_HPU")


def accelerator() -> Accelerator:
    """Return what Accelerate makes of the environment, without what the config decides.

    Raises:
        UnsupportedError: It is to do more than to let every process hold the whole model, or the
            processes that were started together do not find each other.
    """
    started = int(os.environ.get("WORLD_SIZE") or 1)  # by torchrun
    # else Accelerate looks for others on GPUs only, and each would train for itself
    on_cpu = started > 1 and not torch.accelerator.is_available()
    try:
        found = Accelerator(mixed_precision="no", cpu=on_cpu)  # train.precision decides
    except ValueError as error:  # somebody has begun another one in this process
        raise UnsupportedError(
            f"training must begin with mixed_precision = no in Accelerate, got: {error}"
        ) from None
    if found.num_processes < started:
        raise UnsupportedError(
            f"all {started} processes must train together, got {found.num_processes} that found "
            "each other. Begin no PartialState of Accelerate before the training."
        )
    kind = found.distributed_type.value
    if kind not in KNOWN:
        raise UnsupportedError(f"every process must hold the whole model, got {kind}")
    if found.gradient_accumulation_steps != 1:
        raise UnsupportedError(
            "train.accumulate must decide what one step sees, got "
            f"{found.gradient_accumulation_steps} gradient accumulation steps from Accelerate"
        )
    return found


def decided(decide: Callable[[], T]) -> T:
    """Let the main process decide, and give to all what it decided, or the error that it met.

    Args:
        decide: Called in the main process alone.

    Raises:
        HeedfulError: `decide` does; all processes meet it alike, so that none waits for the others.
    """
    state = accelerator()
    if state.num_processes == 1:
        return decide()
    said: list[Any] = [None, None]
    if state.is_main_process:
        try:
            said[0] = decide()
        except HeedfulError as error:
            said[1] = error
    broadcast_object_list(said)
    if said[1] is not None:
        raise said[1]
    return said[0]


def same_everywhere(everyone: Accelerator, *numbers: float) -> list[Any]:
    """Return the main process's numbers, so that all processes do the same at the same step."""
    if everyone.num_processes == 1:
        return [*numbers]
    sent = torch.tensor(numbers, dtype=torch.float64, device=everyone.device)
    kinds = map(type, numbers)
    return [kind(x) for kind, x in zip(kinds, cast(Tensor, broadcast(sent)), strict=True)]


def alike(value: object) -> bool:
    """Say, in every process the same, whether all have the same value."""
    return all(other == value for other in gather_object([value]))


def draw_apart(seed: int, *, process: int, step: int) -> None:
    """Give this process random numbers of its own for one step, whatever was drawn before.

    So dropout differs between processes, and a training that is gone on with draws as if it had
    never stopped, although a checkpoint holds the random numbers of one process only.
    """
    own = np.random.SeedSequence([seed, process, step]).generate_state(1, np.uint64)
    torch.manual_seed(int(own[0]))
