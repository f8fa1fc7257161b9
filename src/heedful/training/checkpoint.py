"""Checkpoints: all that is needed to go on as if nothing had happened, as safetensors and JSON.

A checkpoint is a folder that appears whole, with the hashes of its files, and `checkpoints.json`
names the last and the best one. A kill at any moment leaves the old pair or the new pair, never a
mixture.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from heedful.allocation.weights import LARGEST, fill, parse_tensors, weights_of
from heedful.distributed.fsdp import gathered
from heedful.errors import RunError
from heedful.files import read_json, write_bytes, write_folder, write_json
from heedful.manifest import MANIFEST, Sealed, seal, sealed
from heedful.removal import remove_written
from heedful.training.optimizer_state import moments_of, optimizer_state, parse_state

WEIGHTS, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.safetensors", "progress.json"
FOLDER, POINTER = "checkpoints", "checkpoints.json"
FILES = (WEIGHTS, OPTIMIZER, PROGRESS, MANIFEST)  # all that is ever in a checkpoint
OPTIMISED = "optimised"  # the one checkpoint of an optimised run
MOST = 1 << 53  # steps, epochs, batches: whole numbers that are exact as floats


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # next one of the epoch, of each process
    processes: int | None = None  # that share the batches; older checkpoints do not say
    seconds: float = 0.0
    evaluations: int = 0
    best_score: float | None = None  # on the dev split; None: not evaluated yet
    waiting: int = 0  # evaluations since the best one
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """Which checkpoint folders count."""

    last: str
    best: str | None  # None: nothing was evaluated yet


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizers: Mapping[str, Optimizer],
    progress: Progress,
    *,
    best: bool,
) -> None:
    """Write a checkpoint and point to it; those that are pointed to no more are deleted.

    Only what this program wrote is deleted: never a copy under another name, a checkpoint with any
    other file in it, or what lies behind a link.

    Args:
        folder: The run folder.
        model: Its parameters and persistent buffers are kept.
        optimizers: Their state is kept under the names of the parameters, of which each has one.
        progress: Where the training stands.
        best: This checkpoint is also the best one so far.

    Raises:
        RunError: It cannot be written; the checkpoints before it stay as they were.
        UnsupportedError: An optimizer remembers what is no tensor, or of another shape.
    """
    root = _root(folder)
    before = read_pointer(folder) if (folder / POINTER).exists() else None
    name = _unused(root, f"step-{progress.step:07d}")
    weights = {key: gathered(tensor) for key, tensor in weights_of(model).items()}
    remembered = optimizer_state(model, optimizers, begun=progress.step > 0)

    def write(temporary: Path) -> None:
        write_bytes(temporary / WEIGHTS, save(weights))
        write_bytes(temporary / OPTIMIZER, save(remembered))
        write_json(temporary / PROGRESS, asdict(progress))
        seal(temporary, (WEIGHTS, OPTIMIZER, PROGRESS), name=name)

    write_folder(root / name, write)
    pointer = Pointer(last=name, best=name if best else before and before.best)
    write_json(folder / POINTER, asdict(pointer))
    for child in list(root.iterdir()):
        if child.name not in (pointer.last, pointer.best) and _written_here(child, before):
            remove_written(child, FILES)


def give_shares(model: nn.Module, optimizers: Mapping[str, Optimizer]) -> None:
    """Give this process's share of a spread model to whoever saves a checkpoint meanwhile.

    Args:
        model: As of the process that saves.
        optimizers: Of its parameters.
    """
    for tensor in weights_of(model).values():
        gathered(tensor)
    for *_, moments in moments_of(model, optimizers):
        for value in moments.values():
            gathered(value)


def read_pointer(folder: Path) -> Pointer:
    """Return which checkpoints count.

    Raises:
        RunError: There is none, or the file is damaged, or names anything but checkpoints.
    """
    content = read_json(folder / POINTER)
    if isinstance(content, dict) and content.keys() == {"last", "best"}:
        last, best = content["last"], content["best"]
        if _is_name(last) and (best is None or _is_name(best)):
            # of step 0 nothing was ever evaluated: so older runs said that there is no best
            return Pointer(last=last, best=None if best and _step(best) == 0 else best)
    raise RunError(
        f"{folder / POINTER} must name a last and a best checkpoint, got {content!r:.100}"
    )


def load_weights(folder: Path, model: nn.Module, *, which: str = "best") -> str:
    """Fill `model` from the `best` or the `last` checkpoint.

    Returns:
        The name of the checkpoint: the last one too where none has been evaluated yet.

    Raises:
        RunError: The checkpoint is missing, damaged or of another model.
    """
    kept = open_checkpoint(folder, which=which)
    fill(model, tensors_of(kept, WEIGHTS), kept.folder / WEIGHTS)
    return kept.folder.name


def open_checkpoint(folder: Path, *, which: str = "best") -> Sealed:
    """Open the `best` or the `last` checkpoint of a run folder; the last where none is best yet.

    Raises:
        RunError: There is no pointer, it is damaged, or a link stands in the way.
    """
    pointer = read_pointer(folder)
    place = _root(folder) / (getattr(pointer, which) or pointer.last)
    if place.is_symlink():
        raise RunError(f"{place} must be a folder of the run, got a link")
    return sealed(place, holder="a checkpoint")


def tensors_of(kept: Sealed, name: str) -> dict[str, Tensor]:
    """Read a file of numbers of a checkpoint or of a saved model.

    Raises:
        RunError: It is missing or damaged.
    """
    return parse_tensors(kept.read(name, most=LARGEST), kept.folder / name)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizers: Mapping[str, Optimizer]
) -> Progress:
    """Restore model, optimizers and random numbers from the last checkpoint.

    Raises:
        RunError: The checkpoint is missing, damaged or of another model.
    """
    kept = open_checkpoint(folder, which="last")
    progress = _progress(kept.json(PROGRESS), kept.folder / PROGRESS)
    weights, state = tensors_of(kept, WEIGHTS), tensors_of(kept, OPTIMIZER)
    path = kept.folder / OPTIMIZER
    remembered = parse_state(state, model, optimizers, path, begun=progress.step > 0)
    fill(model, weights, kept.folder / WEIGHTS)
    remembered.restore()
    return progress


# ---- names ---------------------------------------------------------------------------------------


def _root(folder: Path) -> Path:
    root = folder / FOLDER
    if root.is_symlink():
        raise RunError(f"{root} must be a folder of the run, got a link")
    return root


def _step(name: str) -> int | None:
    found = re.fullmatch(r"step-([0-9]{7,16})(-[0-9]{1,9})?", name)
    return int(found[1]) if found else None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and (name == OPTIMISED or _step(name) is not None)


def _unused(root: Path, name: str) -> str:
    """Return a new name: a folder that the pointer may name is never replaced."""
    again = (f"{name}-{number}" for number in itertools.count(2))
    names = itertools.chain([name], again)
    return next(x for x in names if not (root / x).exists() and not (root / x).is_symlink())


def _written_here(child: Path, before: Pointer | None) -> bool:
    """Did a training write this, under this name? A copy has another name than it had then."""
    half = re.fullmatch(r"\.(.+)\.[0-9]+\.tmp", child.name)
    if half:
        return _step(half[1]) is not None
    if _step(child.name) is None:
        return False
    if before is not None and child.name in (before.last, before.best):
        return True
    try:
        return sealed(child).name == child.name
    except RunError:
        return False


# ---- what a checkpoint holds ---------------------------------------------------------------------


def _progress(content: Any, path: Path) -> Progress:
    if not isinstance(content, dict):
        raise RunError(f"{path} must say where a training stands, got {content!r:.80}")
    rules: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("step", "epoch", "batch", "evaluations", "waiting"), _is_count),
        "seconds": lambda x: _is_finite(x) and x >= 0,
        "best_score": lambda x: x is None or _is_finite(x),
        "finished": lambda x: type(x) is bool,
        "processes": lambda x: x is None or (_is_count(x) and x > 0),
    }
    content = {"processes": None} | content
    if "best_loss" in content:  # as older runs call it
        content = {**content, "best_score": content["best_loss"]}
    for field in fields(Progress):
        value = content.get(field.name, "nothing")
        if not rules[field.name](value):
            raise RunError(
                f"{path} must say where a training stands, got {field.name} = {value!r:.40}"
            )
    return Progress(**{field.name: content[field.name] for field in fields(Progress)})


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= MOST and isfinite(value)  # type: ignore[arg-type]
