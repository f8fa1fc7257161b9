"""From a config, or from a run that was stopped, to a training that runs."""

import os
import platform
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from heedful.config import Config, dump
from heedful.config_file import load_config
from heedful.data.examples import Splits
from heedful.data.load import load_data, load_training, located
from heedful.data.overlaps import overlaps, told
from heedful.errors import ConfigError, DataError, RunError
from heedful.locks import check_unused, hold, is_unused
from heedful.models.validity import problem
from heedful.tasks.translation import Corpus, encode_splits, train_vocabularies
from heedful.training.events import Message, Started
from heedful.training.loop import Listener, Training, ignore
from heedful.training.processes import alike, decided
from heedful.training.run import Run, build, create
from heedful.training.settled import FREE, change_config, mark, settled


def train(
    config: Config | str | Path | None = None,
    *,
    resume: str | Path | None = None,
    overrides: Sequence[str] = (),
    on_event: Listener | None = None,
) -> Run:
    """Train what a config describes, or go on with a run that was stopped.

    Ctrl-C and SIGTERM end it between two steps, with a checkpoint.

    Args:
        config: A config, or the TOML file of one.
        resume: A run folder; nothing else is needed, and the result is as if it had never stopped.
        overrides: What else should hold from now on for a run that is gone on with, such as
            `train.steps=400`: its limits, and how it keeps its books.
        on_event: Called with every event of `heedful.training.events`.

    Returns:
        The run, with its best model.

    Raises:
        ConfigError: Neither or both of `config` and `resume` are given, or the config is wrong, or
            `overrides` change what a run that is gone on with must keep.
        DataError: The data cannot be used.
        RunError: The run folder cannot be written, holds something else, or is in use.
        TrainingError: The loss is no longer a number; the last good checkpoint is intact.
    """
    if config is not None and resume is None:
        if isinstance(config, Config) and overrides:
            raise ConfigError(f"overrides must go with a file or a run, got {list(overrides)}")
        if not isinstance(config, Config):
            config = load_config(config, overrides=overrides)
        config = config.model_copy(update={"data": located(config.data)})
        _check_settings(config)
        with ExitStack() as held:
            folder = decided(lambda: _new_folder(config, held))
            _fresh(config, folder, on_event or ignore).run()
    elif config is None and resume is not None:
        with ExitStack() as held:
            folder = decided(lambda: _old_folder(Path(resume), held))
            _resumed(folder, overrides, on_event or ignore).run()
    else:
        raise ConfigError(f"train must get a config or a run to resume, got {config=}, {resume=}")
    return Run(folder)


def _new_folder(config: Config, held: ExitStack) -> Path:
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


def _old_folder(folder: Path, held: ExitStack) -> Path:
    """Hold a run."""
    Run(folder)  # nothing is written into what is none
    held.enter_context(hold(folder))
    return folder


def _fresh(config: Config, folder: Path, listener: Listener) -> Training:
    splits = load_data(config.data, config.seed)
    corpus = encode_splits(config, splits, train_vocabularies(config, splits.train))
    torch.manual_seed(config.seed)
    training = Training(config, corpus, build(config, corpus.vocabularies), folder, listener)
    precision = training.choose_precision()
    shared = overlaps(splits)
    about = _about(config, corpus, training, precision) | {"overlaps": shared}
    if not alike(_fingerprint(corpus)):
        raise DataError("all processes must read the same examples, got others in one of them")
    if training.main:
        create(folder, config, corpus, about, training.save)
    _announce(training, corpus)
    for text in told(shared):
        training.emit(Message(text=text))
    return training


def _resumed(folder: Path, overrides: Sequence[str], listener: Listener) -> Training:
    run = Run(folder)
    if run.plan is not None:
        raise RunError(f"a run to resume must be as it was trained, got {folder}, optimised since")
    config = _going_on(run.config, folder, overrides)
    splits = Splits(
        train=load_training(config.data, config.seed),
        dev=run.examples("dev"),
        test=run.examples("test"),
    )
    corpus = encode_splits(config, splits, run.vocabularies)
    about = run.about
    if about.get("data_fingerprint") != _fingerprint(corpus):
        raise RunError(
            f"the training data of {folder} must be what it was, got other examples. "
            "Restore the files, or train anew."
        )
    torch.manual_seed(config.seed)
    model = build(config, corpus.vocabularies)
    training = Training(config, corpus, model, folder, listener)
    training.precision = about["precision"]
    training.restore()
    if training.main:
        change_config(folder, config)
    _announce(training, corpus)
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


def _going_on(before: Config, folder: Path, overrides: Sequence[str]) -> Config:
    """Return the config of a run with what else should hold from now on."""
    if not overrides:
        return before
    config = load_config(folder / "config.toml", overrides=overrides)
    if settled(config) != settled(before):
        raise ConfigError(
            f"a run that is gone on with may change {', '.join(f'train.{key}' for key in FREE)} "
            f"alone, got {', '.join(overrides)}"
        )
    return config


def _check_settings(config: Config) -> None:
    """Check what would else be noticed after all data was read, or never."""
    wrong = problem(dump(config)["model"])
    if wrong is not None:
        raise ConfigError(wrong)
    limits = (config.train.steps, config.train.epochs, config.train.minutes)
    if all(limit is None for limit in limits):
        raise ConfigError("train must set one of steps, epochs, minutes, got none")


def _announce(training: Training, corpus: Corpus) -> None:
    training.emit(
        Started(
            run=training.folder,
            parameters=_parameters(training),
            precision=training.precision,
            examples=_examples(corpus),
            skipped=corpus.skipped,
        )
    )


def _about(config: Config, corpus: Corpus, training: Training, precision: str) -> dict[str, Any]:
    packages = ("heedful", "torch", "accelerate", "tokenizers", "babel", "safetensors")
    return {
        "task": config.task,
        # bytes of a name that are not UTF-8 as they are escaped elsewhere
        "command": [
            word.encode("utf-8", "backslashreplace").decode()
            for word in (Path(sys.argv[0]).name, *sys.argv[1:])
        ],
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "threads": torch.get_num_threads(),
        "processes": training.accelerator.num_processes,
        "device": str(training.accelerator.device),
        "platform": platform.machine(),
        "cores": os.cpu_count(),
        "seed": config.seed,
        "precision": precision,
        "config": mark(config),
        "parameters": _parameters(training),
        "examples": _examples(corpus),
        "skipped": corpus.skipped,
        "data_fingerprint": _fingerprint(corpus),
    }


def _parameters(training: Training) -> int:
    return sum(parameter.numel() for parameter in training.bare.parameters())


def _examples(corpus: Corpus) -> dict[str, int]:
    return {"train": len(corpus.train)} | {name: len(of) for name, of in corpus.held_out.items()}


def _fingerprint(corpus: Corpus) -> list[int]:
    return [corpus.train.source.fingerprint(), corpus.train.target.fingerprint()]
