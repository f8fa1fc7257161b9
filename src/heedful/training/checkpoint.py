"""Checkpoints: all that is needed to go on as if nothing had happened, as safetensors and JSON.

A checkpoint is a folder that appears whole, and `checkpoints.json` names the last and the best one.
A kill at any moment leaves the old pair or the new pair, never a mixture.
"""

import itertools
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from heedful.allocation.weights import fill, read_tensors, weights_of
from heedful.errors import RunError
from heedful.files import read_json, write_bytes, write_folder, write_json

WEIGHTS, OPTIMIZER, POINTER = "model.safetensors", "optimizer.safetensors", "checkpoints.json"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # next one of the epoch
    seconds: float = 0.0
    evaluations: int = 0
    best_loss: float | None = None  # on the dev split; None: not evaluated yet
    waiting: int = 0  # evaluations since the best one
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """Which checkpoint folders count."""

    last: str
    best: str


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, progress: Progress, *, best: bool
) -> None:
    """Write a checkpoint and point to it.

    Args:
        folder: The run folder.
        model: Its parameters and persistent buffers are kept.
        optimizer: Its state is kept under the names of the parameters.
        progress: Where the training stands.
        best: This checkpoint is also the best one so far.

    Raises:
        RunError: It cannot be written; the checkpoints before it stay as they were.
    """
    root = folder / "checkpoints"
    name = _unused(root, f"step-{progress.step:07d}")

    def fill(temporary: Path) -> None:
        write_bytes(temporary / WEIGHTS, save(weights_of(model)))
        write_bytes(temporary / OPTIMIZER, save(_optimizer_state(model, optimizer)))
        write_json(temporary / "progress.json", asdict(progress))

    write_folder(root / name, fill)
    old = read_pointer(folder) if (folder / POINTER).exists() else Pointer(last=name, best=name)
    pointer = replace(old, last=name, best=name) if best else replace(old, last=name)
    write_json(folder / POINTER, asdict(pointer))
    for stale in root.iterdir():
        if stale.name not in (pointer.last, pointer.best):
            shutil.rmtree(stale, ignore_errors=True)


def read_pointer(folder: Path) -> Pointer:
    """Return which checkpoints count.

    Raises:
        RunError: There is none, or the file is damaged.
    """
    content = read_json(folder / POINTER)
    try:
        return Pointer(**content)
    except TypeError:
        raise RunError(
            f"{folder / POINTER} must name a last and a best checkpoint, got {content!r}"
        ) from None


def load_weights(folder: Path, model: nn.Module, *, which: str = "best") -> None:
    """Fill `model` from the `best` or the `last` checkpoint.

    Raises:
        RunError: The checkpoint is missing, damaged or of another model.
    """
    path = folder / "checkpoints" / getattr(read_pointer(folder), which) / WEIGHTS
    fill(model, read_tensors(path), path)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Restore model, optimizer and random numbers from the last checkpoint.

    Raises:
        RunError: The checkpoint is missing, damaged or of another model.
    """
    load_weights(folder, model, which="last")
    root = folder / "checkpoints" / read_pointer(folder).last
    content = read_json(root / "progress.json")
    state = read_tensors(root / OPTIMIZER)
    try:
        progress = Progress(**content)
        torch.set_rng_state(state.pop("random/cpu"))
        if torch.cuda.is_available() and "random/cuda" in state:
            torch.cuda.set_rng_state(state.pop("random/cuda"))
        for name, parameter in model.named_parameters():
            keys = [key for key in state if key.partition("/")[2] == name]
            if keys:
                optimizer.state[parameter] = {
                    key.partition("/")[0]: _placed(state[key], parameter) for key in keys
                }
    except (KeyError, TypeError) as error:
        raise RunError(f"{root} must be a checkpoint of heedful, got no {error}") from None
    return progress


def _unused(root: Path, name: str) -> str:
    """Return a new name: a folder that the pointer may name is never replaced."""
    again = (f"{name}-{number}" for number in itertools.count(2))
    names = itertools.chain([name], again)
    return next(candidate for candidate in names if not (root / candidate).exists())


def _optimizer_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    state = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["random/cuda"] = torch.cuda.get_rng_state()
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            state[f"{key}/{name}"] = torch.as_tensor(value).contiguous()
    return state


def _placed(tensor: Tensor, parameter: Tensor) -> Tensor:
    # a fused optimizer keeps its step counter beside the parameter, others on the CPU
    return tensor.to(parameter.device)
