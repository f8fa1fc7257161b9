"""From a config, or from a run that was stopped, to a training that runs."""

import os
import platform
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from heedful.config import Config
from heedful.config_file import load_config
from heedful.data.load import load_data
from heedful.errors import ConfigError, RunError
from heedful.files import write_json
from heedful.locks import hold, is_unused
from heedful.tasks.translation import Corpus, build_model, encode_splits, train_vocabularies
from heedful.training.events import Message, Started
from heedful.training.loop import Listener, Training, ignore
from heedful.training.processes import decided
from heedful.training.run import Run, check_unused, create


def train(
    config: Config | str | Path | None = None,
    *,
    resume: str | Path | None = None,
    on_event: Listener | None = None,
) -> Run:
    """Train what a config describes, or go on with a run that was stopped.

    Args:
        config: A config, or the TOML file of one.
        resume: A run folder; nothing else is needed, and the result is as if it had never stopped.
        on_event: Called with every event of `heedful.training.events`.

    Returns:
        The run, with its best model.

    Raises:
        ConfigError: Neither or both of `config` and `resume` are given, or the config is wrong.
        DataError: The data cannot be used.
        RunError: The run folder cannot be written, holds something else, or is in use.
        TrainingError: The loss is no longer a number; the last good checkpoint is intact.
    """
    if config is not None and resume is None:
        config = config if isinstance(config, Config) else load_config(config)
        _check_limit(config)
        with ExitStack() as held:
            folder = decided(lambda: _new_folder(config, held))
            _fresh(config, folder, on_event or ignore).run()
    elif config is None and resume is not None:
        with ExitStack() as held:
            folder = decided(lambda: _old_folder(Path(resume), held))
            _resumed(folder, on_event or ignore).run()
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
    corpus = _corpus(config, None)
    torch.manual_seed(config.seed)
    training = Training(config, corpus, build_model(config, corpus.vocabularies), folder, listener)
    precision = training.choose_precision()
    if training.main:
        create(folder, config, corpus)
        training.save(best=True)
        # last: what has a run.json can be resumed
        write_json(folder / "run.json", _about(config, corpus, training, precision))
    _announce(training, corpus)
    return training


def _resumed(folder: Path, listener: Listener) -> Training:
    run = Run(folder)
    if run.plan is not None:
        raise RunError(f"a run to resume must be as it was trained, got {folder}, optimised since")
    corpus = _corpus(run.config, run)
    about = run.about
    if about.get("data_fingerprint") != _fingerprint(corpus):
        raise RunError(
            f"the training data of {folder} must be what it was, got other examples. "
            "Restore the files, or train anew."
        )
    torch.manual_seed(run.config.seed)
    model = build_model(run.config, corpus.vocabularies)
    training = Training(run.config, corpus, model, folder, listener)
    training.precision = about["precision"]
    training.restore()
    _announce(training, corpus)
    if training.progress.finished:
        listener(Message(text=f"{folder} is already trained to its limit; nothing is left to do"))
    return training


def _corpus(config: Config, run: Run | None) -> Corpus:
    splits = load_data(config.data, config.seed)
    vocabularies = train_vocabularies(config, splits.train) if run is None else run.vocabularies
    return encode_splits(config, splits, vocabularies)


def _check_limit(config: Config) -> None:
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
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "threads": torch.get_num_threads(),
        "processes": training.accelerator.num_processes,
        "device": str(training.accelerator.device),
        "platform": platform.machine(),
        "cores": os.cpu_count(),
        "seed": config.seed,
        "precision": precision,
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
