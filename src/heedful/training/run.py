"""The folder one training leaves behind.

```text
config.toml              the whole configuration, defaults written out
run.json                 how it came about: command, versions, seed, sizes, precision
tokens/{source,target}.json   the tokenisers
splits/{dev,test}.jsonl  the held-out examples, so that evaluation needs nothing else
metrics.jsonl            one line a measurement
checkpoints.json         which checkpoints are the last and the best
checkpoints/step-…/      model.safetensors, optimizer.safetensors, progress.json
plan.toml, report.json   of an optimised run: what was changed, and how it was proved
```
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, overload

import torch
from torch import nn

from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.stored import PLAN, is_model, load_model
from heedful.config import Config
from heedful.config_file import dump_toml, load_config
from heedful.data.examples import Example
from heedful.data.tokens import Vocabulary
from heedful.errors import ConfigError, HeedfulError, RunError
from heedful.files import read_json, write_bytes
from heedful.locks import LOCK, is_unused
from heedful.tasks.translation import Corpus, Network, Translator, Vocabularies, build_model
from heedful.training.checkpoint import OPTIMIZER, WEIGHTS, load_weights

SIDES = ("source", "target")
# all that a training writes, for `remove_written`
WRITTEN = (
    *("config.toml", "run.json", "manifest.json", "metrics.jsonl", "checkpoints.json", LOCK),
    *("tokens/*.json", "splits/*.jsonl", "tensorboard/events.out.tfevents.*"),
    *(f"checkpoints/step-*/{name}" for name in (WEIGHTS, OPTIMIZER, "progress.json")),
)


class Run:
    """A run folder, read on demand.

    Args:
        folder: Written by `heedful.train`.
        device: Where the model goes; `None` means a GPU where there is one.

    Raises:
        RunError: The folder is no run.
    """

    def __init__(self, folder: str | Path, *, device: str | None = None) -> None:
        self.folder = Path(folder)
        if not (self.folder / "run.json").is_file():
            raise RunError(f"run must be a folder written by heedful train, got {self.folder}")
        self.device = device or default_device()
        self.config = _read_config(self.folder)
        self._translator: Translator | None = None

    @property
    def about(self) -> dict[str, Any]:
        """How the run came about: command, versions, seed, sizes, precision."""
        return read_json(self.folder / "run.json")

    @property
    def vocabularies(self) -> Vocabularies:
        """Of both sides."""
        return Vocabularies(
            *(Vocabulary.load(self.folder / "tokens" / f"{side}.json") for side in SIDES)
        )

    @property
    def translator(self) -> Translator:
        """The best model with its tokenisers, loaded once."""
        if self._translator is None:
            vocabularies = self.vocabularies
            model = build_model(self.config, vocabularies)
            if self.plan is not None:
                model = cast(Network, self.plan.apply(model))
            load_weights(self.folder, model)
            self._translator = Translator(
                model.to(self.device),
                vocabularies,
                self.config.decode,
                longest=self.config.data.max_length,
            )
        return self._translator

    @property
    def plan(self) -> Plan | None:
        """From the trained model to this one; `None` where nothing was optimised."""
        path = self.folder / PLAN
        return load_plan(path) if path.is_file() else None

    def examples(self, split: str) -> list[Example]:
        """Return the held-out examples of `dev` or `test`.

        Raises:
            ConfigError: There is no such split.
            RunError: The file is missing or damaged.
        """
        if split not in ("dev", "test"):
            raise ConfigError(f"split must be one of dev, test, got {split!r}")
        path = self.folder / "splits" / f"{split}.jsonl"
        try:
            return [Example(**json.loads(line)) for line in path.read_bytes().splitlines()]
        except OSError:
            raise RunError(
                f"a run folder must hold {path.name}, got none in {path.parent}"
            ) from None
        except (ValueError, TypeError) as error:
            raise RunError(f"{path} must be whole, got a damaged line: {error}") from None


@overload
def load(folder: str | Path, *, device: str | None = None) -> Run: ...
@overload
def load(folder: str | Path, *, device: str | None = None, into: nn.Module) -> nn.Module: ...
def load(
    folder: str | Path, *, device: str | None = None, into: nn.Module | None = None
) -> Run | nn.Module:
    """Open a run folder, or build an optimised model again.

    Args:
        folder: Written by `heedful.train`, or by `save` of what `heedful.optimize` returned.
        device: Where the model goes; `None` means a GPU where there is one.
        into: A fresh model as it was before it was optimised. Not needed for runs, nor for models
            of transformers, which come back as modules all the same.

    Raises:
        RunError: The folder is no run and no model, or damaged.
        ConfigError: `into` is needed, the plan does not fit it, or it is given for a run.
        MissingExtraError: transformers is needed and not installed.
    """
    if is_model(Path(folder)):
        model = load_model(Path(folder), into=into)
        return model.to(device or default_device())
    if into is not None:
        raise ConfigError(
            "into must be left out for a run, which builds its own model, "
            f"got {type(into).__name__}"
        )
    return Run(folder, device=device)


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_unused(folder: Path) -> None:
    """Check that nothing is there that a new run would overwrite.

    Raises:
        RunError: The folder is not empty, or is a file.
    """
    if not is_unused(folder):
        raise RunError(f"output must be a new or an empty folder, got {folder}")


def create(folder: Path, config: Config, corpus: Corpus) -> None:
    """Write what a new run holds before its first checkpoint.

    Raises:
        RunError: The folder is not empty, or cannot be written.
    """
    check_unused(folder)
    try:
        for name in ("tokens", "splits", "checkpoints"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} must be writable, got: {error.strerror or error}") from None
    write_bytes(folder / "config.toml", dump_toml(config).encode())
    for side in SIDES:
        getattr(corpus.vocabularies, side).save(folder / "tokens" / f"{side}.json")
    for split, examples in corpus.held_out.items():
        write_split(folder, split, examples)


def write_split(folder: Path, split: str, examples: Sequence[Example]) -> None:
    """Write what `Run.examples` reads, in a run that is being made."""
    lines = [json.dumps(asdict(example), ensure_ascii=False) for example in examples]
    write_bytes(folder / "splits" / f"{split}.jsonl", "".join(f"{x}\n" for x in lines).encode())


def _read_config(folder: Path) -> Config:
    try:
        return load_config(folder / "config.toml")
    except HeedfulError as error:
        raise RunError(f"{folder / 'config.toml'} must be a whole config, got: {error}") from None
