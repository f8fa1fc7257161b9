"""From a config, or from a run that was stopped, to a training that runs."""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from heedful.called import called
from heedful.config.base import TaskConfig
from heedful.config.file import LIMITS
from heedful.data.examples import Splits
from heedful.data.overlaps import contradictions, overlaps, told, without_held_out
from heedful.errors import ConfigError, DataError, RunError
from heedful.locks import check_unused, hold, is_unused
from heedful.tasks.base import Task
from heedful.tasks.catalog import AnyTask, find_task, load_config, parse_config
from heedful.training.events import Message, Started
from heedful.training.layout import create
from heedful.training.learners import check_alone
from heedful.training.loop import Listener, Ready, Training, ignore
from heedful.training.processes import accelerator, alike, decided
from heedful.training.run import Run, build
from heedful.training.settled import CONFIG, FREE, change_config, mark, settled
from heedful.training.splits import check_trained_on, training_examples

PACKAGES = ("heedful", "torch", "accelerate", "tokenizers", "babel", "safetensors")


def train(
    config: TaskConfig | Mapping[str, Any] | str | Path | None = None,
    *,
    resume: str | Path | None = None,
    overrides: Sequence[str] = (),
    on_event: Listener | None = None,
    task: str | AnyTask | None = None,
) -> Run:
    """Train what a config describes, or go on with a run that was stopped.

    Ctrl-C and SIGTERM end it between two steps, with a checkpoint.

    Args:
        config: A config, its tables as plain data, or the TOML file of one.
        resume: A run folder; nothing else is needed, and the result is as if it had never stopped.
        overrides: What else should hold from now on for a run that is gone on with, such as
            `train.steps=400`: its limits, and how it keeps its books.
        on_event: Called with every event of `heedful.training.events`.
        task: A task of the user's own, or where it is: `module:Class`.

    Returns:
        The run, with its best model.

    Raises:
        ConfigError: Neither or both of `config` and `resume` are given, or the config is wrong, or
            `overrides` change what a run that is gone on with must keep.
        DataError: The data cannot be used.
        RunError: The run folder cannot be written, holds something else, or is in use.
        TrainingError: The loss is no longer a number; the last good checkpoint is intact.
        UnsupportedError: Several processes are to train what only one can.
    """
    if config is not None and resume is None:
        whole = _config(config, overrides, task)
        kind = find_task(whole.task, source=task)
        whole = kind.located(whole)
        _check_settings(kind, whole)
        with ExitStack() as held:
            folder = decided(lambda: _new_folder(whole, held))
            _fresh(kind, whole, folder, on_event or ignore).run()
    elif config is None and resume is not None:
        with ExitStack() as held:
            folder = decided(lambda: _old_folder(Path(resume), held, task))
            _resumed(folder, overrides, on_event or ignore, task).run()
    else:
        raise ConfigError(f"train must get a config or a run to resume, got {config=}, {resume=}")
    return Run(folder, task=task)


def _config(
    config: TaskConfig | Mapping[str, Any] | str | Path,
    overrides: Sequence[str],
    task: str | AnyTask | None,
) -> TaskConfig:
    if isinstance(config, TaskConfig):
        if overrides:
            raise ConfigError(f"overrides must go with a file or a run, got {list(overrides)}")
        return config
    if isinstance(config, Mapping):
        return parse_config(config, overrides=overrides, source=task)
    return load_config(config, overrides=overrides, source=task)


def _new_folder(config: TaskConfig, held: ExitStack) -> Path:
    """Hold a folder with nothing in it: before the work, not after it."""
    if config.output:
        folder = Path(config.output)
        check_unused(folder)
        held.enter_context(hold(folder, make=True))
        check_unused(folder)  # whoever held it may have filled it
        return folder
    number = 0
    while True:
        number += 1
        folder = Path("runs") / f"{config.task}-{number}"
        if folder.exists():
            continue
        try:
            held.enter_context(hold(folder, make=True))
        except RunError:
            if not folder.exists():  # it cannot be made
                raise
            continue  # another training was faster
        if is_unused(folder):
            return folder
        held.close()


def _old_folder(folder: Path, held: ExitStack, task: str | AnyTask | None) -> Path:
    """Hold a run."""
    Run(folder, task=task)  # nothing is written into what is none
    held.enter_context(hold(folder))
    return folder


def _fresh(kind: AnyTask, config: TaskConfig, folder: Path, listener: Listener) -> Training:
    splits = kind.read(config)
    task = kind.fit(config, splits.train)
    shared, given = overlaps(splits, task.identity), len(splits.train)
    if shared["dev"]["train"] or shared["test"]["train"]:
        held_out = [*splits.dev, *splits.test]
        rest = without_held_out(splits.train, held_out, task.identity)
        splits = replace(splits, train=rest)
        task = kind.fit(config, splits.train)
    left_out = given - len(splits.train)
    data = _ready(task, splits)
    torch.manual_seed(config.seed)
    training = Training(task, data, build(task), folder, listener)
    precision = training.choose_precision()
    counts = _counts(data, splits)
    about = _about(training, precision) | counts | {"overlaps": shared, "left_out": left_out}
    if not alike(about["data_fingerprint"]):
        raise DataError("all processes must read the same examples, got others in one of them")
    if training.main:
        create(folder, task, splits, about, training.save)
    else:  # what it holds of the model belongs to the first checkpoint, too
        training.save()
    _announce(training, counts)
    unsure = contradictions(splits.train, task.identity, task.right_answers)
    for text in (*told(shared, left_out=left_out), *unsure):
        training.emit(Message(text=text))
    return training


def _resumed(
    folder: Path, overrides: Sequence[str], listener: Listener, source: str | AnyTask | None
) -> Training:
    run = Run(folder, task=source)
    if run.plan is not None:
        raise RunError(f"a run to resume must be as it was trained, got {folder}, optimised since")
    config = _going_on(run.config, folder, overrides, source)
    train = training_examples(run, config)
    splits = Splits[Any](train=train, dev=run.examples("dev"), test=run.examples("test"))
    task = run.task if config == run.config else run.kind.load(config, folder)
    data, about = _ready(task, splits), run.about
    check_trained_on(run, data.train)
    torch.manual_seed(config.seed)
    training = Training(task, data, build(task), folder, listener)
    training.learner.precision = about["precision"]
    training.restore()
    if training.main:
        change_config(folder, config)
    _announce(training, _counts(data, splits))
    processes = training.accelerator.num_processes
    if processes != about.get("processes", processes):
        text = f"{folder} was trained in {about['processes']} processes and goes on in {processes}"
        training.emit(Message(text=f"{text}: not as if it had never stopped"))
    if training.progress.finished:
        reached = ", ".join(training.reached())
        text = f"{folder} is already trained to its limit ({reached}); nothing is left to do."
        how = f"To go on, raise it: heedful train --resume {folder} --set {reached.split(' =')[0]}="
        training.emit(Message(text=f"{text} {how}..."))
    return training


def _ready(task: Task[Any, Any], splits: Splits[Any]) -> Ready:
    """Make ready what a training reads.

    Raises:
        DataError: Nothing is left of a split.
    """
    ready: list[Any] = []
    for name, examples in (("train", splits.train), ("dev", splits.dev)):
        data = task.encode(examples, training=True)
        if not len(data):
            raise DataError(
                f"the {name} split must hold an example that is not too long, got "
                f"{len(examples)} longer ones. Raise data.max_length."
                if examples
                else f"the {name} split must hold an example, got none"
            )
        ready.append(data)
    return Ready(*ready)


def _going_on(
    before: TaskConfig, folder: Path, overrides: Sequence[str], source: str | AnyTask | None
) -> TaskConfig:
    """Return the config of a run with what else should hold from now on."""
    if not overrides:
        return before
    config = load_config(folder / CONFIG, overrides=overrides, source=source)
    if settled(config) != settled(before):
        raise ConfigError(
            f"a run that is gone on with may change {', '.join(f'train.{key}' for key in FREE)} "
            f"alone, got {', '.join(overrides)}"
        )
    return config


def _check_settings(kind: AnyTask, config: TaskConfig) -> None:
    """Check what would else be noticed after all data was read, or never."""
    wrong = kind.problem(config)
    if wrong is not None:
        raise ConfigError(wrong)
    if all(getattr(config.train, limit) is None for limit in LIMITS):
        raise ConfigError("train must set one of steps, epochs, minutes, got none")
    if kind.loss is Task.loss:  # what a learner of its own needs may take minutes to make
        check_alone(config.task, accelerator())


def _announce(training: Training, counts: dict[str, Any]) -> None:
    training.emit(
        Started(
            run=training.folder,
            parameters=_parameters(training),
            precision=training.learner.precision,
            examples=counts["examples"],
            skipped=counts["skipped"],
        )
    )


def _counts(data: Ready, splits: Splits[Any]) -> dict[str, Any]:
    return {
        "examples": {"train": len(data.train), "dev": len(splits.dev), "test": len(splits.test)},
        "skipped": len(splits.train) - len(data.train) + len(splits.dev) - len(data.dev),
    }


def _about(training: Training, precision: str) -> dict[str, Any]:
    config = training.config
    return {
        "task": config.task,
        "command": called(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "threads": torch.get_num_threads(),
        "processes": training.accelerator.num_processes,
        "device": str(training.accelerator.device),
        "platform": platform.machine(),
        "cores": os.cpu_count(),
        "seed": config.seed,
        "precision": precision,
        "config": mark(config),
        "parameters": _parameters(training),
        "data_fingerprint": training.data.train.fingerprint(),
    }


def _parameters(training: Training) -> int:
    return sum(parameter.numel() for parameter in training.bare.parameters())
