"""`heedful.load` and `Run`: the folder that one training leaves behind, opened."""

import os
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import torch
from torch import nn

from heedful.allocation.saved_files import PLAN, is_model
from heedful.config.base import TaskConfig, dump
from heedful.config.file import dump_toml, read_tables
from heedful.errors import ConfigError, DataError, HeedfulError, RunError, RunWarning
from heedful.files import reason, write_bytes
from heedful.manifest import Sealed, sealed
from heedful.tasks.base import Task
from heedful.tasks.catalog import (
    AnyTask,
    find_task,
    import_task,
    parse_config,
    task_of,
)
from heedful.training.checkpoint import load_weights, read_pointer
from heedful.training.layout import ABOUT, fixed
from heedful.training.settled import CONFIG, edited
from heedful.training.splits import LARGEST, parse_split

if TYPE_CHECKING:  # a run without a plan is opened without them
    from heedful.allocation.moves import Move
    from heedful.allocation.plan import Plan
    from heedful.tasks.translation.translator import Translator

PRECISIONS = ("fp32", "bf16")


class Run:
    """A run folder, read on demand.

    Args:
        folder: Written by `heedful.train`.
        device: Where the model goes; `None` means a GPU where there is one.
        task: A task of the user's own, or where it is: `module:Class`; a run never names code.

    Raises:
        RunError: The folder is no run.
        ConfigError: It is of a task that is not built in, and none or another one is given.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str | None = None,
        task: str | AnyTask | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not _is_there(self.folder / ABOUT):
            raise RunError(f"run must be a folder written by heedful train, got {self.folder}")
        self.device = device or default_device()
        self.source = import_task(task) if isinstance(task, str) else task
        self._sealed = sealed(self.folder)
        # as written, or edited as far as it may be
        self.config: Any = _read_config(self._sealed, self.source)

    @property
    def kind(self) -> AnyTask:
        """The class of the task."""
        return find_task(self.config.task, source=self.source)

    @property
    def about(self) -> dict[str, Any]:
        """How the run came about: command, versions, seed, sizes, precision."""
        about = self._sealed.json(ABOUT)
        path = self.folder / ABOUT
        if not isinstance(about, dict):
            raise RunError(f"{path} must say how a run came about, got {about!r:.80}")
        if about.get("precision") not in PRECISIONS:
            got = about.get("precision")
            raise RunError(f"{path} must have a precision of {PRECISIONS}, got {got!r:.80}")
        return cast(dict[str, Any], about)

    @cached_property
    def task(self) -> Task[Any, Any]:
        """The task, with what it has learned from the data."""
        for name in self.kind.files:
            self._sealed.read(name, most=LARGEST)
        return self.kind.load(self.config, self.folder)

    @property
    def evaluated(self) -> bool:
        """Say whether the model that opens is the best one; else it is the last, never measured."""
        return read_pointer(self.folder).best is not None

    @cached_property
    def model(self) -> nn.Module:
        """The best model, loaded once; before the first evaluation the last one, and a warning."""
        with torch.inference_mode(False):  # whoever asks first: others may want gradients of it
            model = build(self.task, self.plan).to(self.device)
            checkpoint = load_weights(self.folder, model)
        if not self.evaluated:
            warnings.warn(
                f"{self.folder} was stopped before its first evaluation: this is its last "
                f"checkpoint, {checkpoint}, and nobody knows what it is worth",
                RunWarning,
                stacklevel=2,
            )
        return model.eval()

    def answer(self, inputs: Sequence[str]) -> list[Any]:
        """Answer what a user types: texts, paths of files or numbers, whatever the task takes.

        Raises:
            DataError: An input cannot be used.
        """
        if isinstance(inputs, str):
            raise DataError(f"inputs must be a list, got the single text {inputs!r}")
        task = self.task
        data = task.encode([task.parse(text) for text in inputs])
        with torch.inference_mode():
            return task.answer(self.model, data)

    def answering(self, overrides: Sequence[str]) -> Task[Any, Any]:
        """Return the task with other settings for its answers, such as `decode.beam=4`.

        Raises:
            ConfigError: There is no such setting, or it is one of the training.
        """
        if not overrides:
            return self.task
        config = parse_config(
            dump(self.config), overrides=overrides, name="--set", source=self.source
        )
        free = self.kind.inference
        same = self.config.model_copy(update={key: getattr(config, key) for key in free})
        if same != config:
            only = ", ".join(f"{section}.*" for section in free) or "no section"
            raise ConfigError(
                f"settings of a run that is trained may change in {only} alone, "
                f"got {', '.join(overrides)}"
            )
        return self.kind.load(config, self.folder)

    @property
    def translator(self) -> "Translator":
        """The best model of a translation with its tokenisers.

        Raises:
            ConfigError: The run is of another task.
        """
        from heedful.tasks.translation.task import Translation

        if not isinstance(self.task, Translation):
            raise ConfigError(
                f"the task of a run must be translation to have a translator, "
                f"got {self.config.task}; every task has Run.answer"
            )
        return self.task.translator(self.model)

    @property
    def plan(self) -> "Plan | None":
        """From the trained model to this one; `None` where nothing was optimised."""
        if not self._sealed.holds(PLAN):
            return None
        from heedful.allocation.plan import load_plan

        self._sealed.read(PLAN)
        return load_plan(self.folder / PLAN)

    def copy(self, folder: Path) -> None:
        """Copy what a run that is made from this one keeps: all that is fixed.

        Its config is the one it has now, which may be another than was written: see `edited`.

        Raises:
            RunError: A file is missing or damaged, or the folder cannot be written.
        """
        for name in fixed(self.kind):
            if name == CONFIG:
                content = dump_toml(self.config).encode()
            else:
                content = self._sealed.read(name, most=LARGEST)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, content)

    def examples(self, split: str) -> list[Any]:
        """Return the held-out examples of `dev` or `test`.

        Raises:
            ConfigError: There is no such split.
            RunError: The file is missing or damaged.
        """
        if split not in ("dev", "test"):
            raise ConfigError(f"split must be one of dev, test, got {split!r}")
        name = f"splits/{split}.jsonl"
        content = self._sealed.read(name, most=LARGEST)
        return parse_split(content, self.folder / name, self.kind.example_class)


def build(task: Task[Any, Any], plan: "Plan | None" = None) -> nn.Module:
    """Make the network of a run, with fresh weights.

    Raises:
        ConfigError: Settings do not fit together, or the plan does not fit the model.
        RunError: There is not enough memory for it.
    """
    try:
        model = task.build()
        return model if plan is None else plan.apply(model)
    except HeedfulError:
        raise
    # what torch raises where sizes are beyond all bounds
    except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(
            f"the model must be one that can be built here, got: {reason(error):.200}"
        ) from None


@overload
def load(
    folder: str | Path, *, device: str | None = None, task: str | AnyTask | None = None
) -> Run: ...
@overload
def load(
    folder: str | Path,
    *,
    device: str | None = None,
    into: nn.Module,
    moves: "Iterable[type[Move]]" = (),
) -> nn.Module: ...
def load(
    folder: str | Path,
    *,
    device: str | None = None,
    into: nn.Module | None = None,
    moves: "Iterable[type[Move]]" = (),
    task: str | AnyTask | None = None,
) -> Run | nn.Module:
    """Open a run folder, or build an optimised model again.

    Args:
        folder: Written by `heedful.train`, or by `save` of what `heedful.optimize` returned.
        device: Where the model goes; `None` means a GPU where there is one.
        into: A fresh model as it was before it was optimised. Not needed for runs, nor for models
            of transformers, which come back as modules all the same.
        moves: The classes of your own moves, where `heedful.optimize` got any.
        task: A task of the user's own that the run is of; see `Run`.

    Raises:
        RunError: The folder is no run and no model, or damaged.
        ConfigError: `into` is needed, the plan does not fit it, or it is given for a run; or the
            run is of a task that is not built in.
        MissingExtraError: transformers is needed and not installed.
    """
    if not os.path.isdir(folder):  # also where no such name can be
        raise RunError(f"a run or a saved model must be a folder, got none at {folder}")
    if is_model(Path(folder)):
        from heedful.allocation.stored import load_model

        return load_model(Path(folder), into=into, moves=moves).to(device or default_device())
    run = Run(folder, device=device, task=task)
    if into is not None:
        raise ConfigError(f"into must be left out for a run, got {type(into).__name__}")
    return run


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _read_config(kept: Sealed, source: str | AnyTask | None) -> TaskConfig:
    path = kept.folder / CONFIG
    try:
        kept.read(CONFIG)
    except RunError:
        found = edited(path, kept.json(ABOUT), source) if _is_there(path) else None
        if found is None:
            raise
        return found
    tables: dict[str, Any] = {}
    try:
        tables = read_tables(path)
        return parse_config(tables, name=str(path), source=source)
    except HeedfulError as error:
        if isinstance(tables.get("task"), str):
            task_of(tables, source=source)  # is it that no task of this name is known?
        raise RunError(f"{path} must be a whole config, got: {reason(error):.500}") from None


def _is_there(path: Path) -> bool:
    try:
        return path.is_symlink() or path.exists()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} must be readable, got: {reason(error)}") from None
