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
test-looks.jsonl         one line for each time that the test split was judged on
tensorboard/             the measurements once more, where asked for
manifest.json            sizes and hashes of what never changes; each checkpoint has one of its own
```

Everything is read as if somebody else had written it, and compared with the manifest where there is
one.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast, overload

import torch
from torch import nn

from heedful.allocation.moves import Move
from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.stored import PLAN, REPORT, is_model, load_model
from heedful.config import Config
from heedful.config_file import dump_toml, load_config
from heedful.data.examples import Example
from heedful.data.tokens import Vocabulary
from heedful.errors import ConfigError, HeedfulError, RunError, RunWarning
from heedful.files import reason, write_bytes, write_into, write_json
from heedful.locks import LOCK, check_unused
from heedful.manifest import MANIFEST, Sealed, seal, sealed
from heedful.tasks.translation import Corpus, Network, Translator, Vocabularies, build_model
from heedful.training.checkpoint import (
    FILES,
    FOLDER,
    OPTIMISED,
    POINTER,
    load_weights,
    read_pointer,
)
from heedful.training.settled import CONFIG, edited
from heedful.training.splits import LARGEST, LEDGER, parse_split, write_split

SIDES = ("source", "target")
ABOUT = "run.json"
# what never changes once it is written
FIXED = (
    *(ABOUT, CONFIG, "tokens/source.json", "tokens/target.json"),
    *("splits/dev.jsonl", "splits/test.jsonl"),
)
_EVER = (
    *(*FIXED, MANIFEST, POINTER, PLAN, REPORT, LEDGER, LOCK),
    *("metrics.jsonl", "tensorboard/events.out.tfevents.*"),
    *(f"{FOLDER}/{name}/{file}" for name in ("step-*", OPTIMISED) for file in FILES),
)
# all that is ever in a run, as `remove_written` takes it, also where a kill stopped `write_into`
WRITTEN = (*_EVER, *(f"start/{name}" for name in _EVER))
PRECISIONS = ("fp32", "bf16")


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
        if not _is_there(self.folder / ABOUT):
            raise RunError(f"run must be a folder written by heedful train, got {self.folder}")
        self.device = device or default_device()
        self._sealed = sealed(self.folder)
        self.config = _read_config(self._sealed)  # as written, or edited as far as it may be
        self._translator: Translator | None = None

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

    @property
    def vocabularies(self) -> Vocabularies:
        """Of both sides."""
        return Vocabularies(*(self._vocabulary(f"tokens/{side}.json") for side in SIDES))

    def _vocabulary(self, name: str) -> Vocabulary:
        self._sealed.read(name)
        return Vocabulary.load(self.folder / name)

    @property
    def evaluated(self) -> bool:
        """Say whether the model that opens is the best one; else it is the last, never measured."""
        return read_pointer(self.folder).best is not None

    @property
    def translator(self) -> Translator:
        """The best model with its tokenisers, loaded once.

        Before the first evaluation there is none: then it is the last one, and a warning says so.
        """
        if self._translator is None:
            vocabularies = self.vocabularies
            model = build(self.config, vocabularies, self.plan)
            checkpoint = load_weights(self.folder, model)
            if not self.evaluated:
                warnings.warn(
                    f"{self.folder} was stopped before its first evaluation: this is its last "
                    f"checkpoint, {checkpoint}, and nobody knows what it is worth",
                    RunWarning,
                    stacklevel=2,
                )
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
        if not self._sealed.holds(PLAN):
            return None
        self._sealed.read(PLAN)
        return load_plan(self.folder / PLAN)

    def copy(self, folder: Path) -> None:
        """Copy what a run that is made from this one keeps: all that is fixed.

        Its config is the one it has now, which may be another than was written: see `edited`.

        Raises:
            RunError: A file is missing or damaged, or the folder cannot be written.
        """
        for name in FIXED:
            if name == CONFIG:
                content = dump_toml(self.config).encode()
            else:
                content = self._sealed.read(name, most=LARGEST)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, content)

    def examples(self, split: str) -> list[Example]:
        """Return the held-out examples of `dev` or `test`.

        Raises:
            ConfigError: There is no such split.
            RunError: The file is missing or damaged.
        """
        if split not in ("dev", "test"):
            raise ConfigError(f"split must be one of dev, test, got {split!r}")
        name = f"splits/{split}.jsonl"
        return parse_split(self._sealed.read(name, most=LARGEST), self.folder / name)


def build(config: Config, vocabularies: Vocabularies, plan: Plan | None = None) -> Network:
    """Make the network of a run, with fresh weights.

    Raises:
        ConfigError: Settings do not fit together, or the plan does not fit the model.
        RunError: There is not enough memory for it.
    """
    try:
        model = build_model(config, vocabularies)
        return model if plan is None else cast(Network, plan.apply(model))
    except HeedfulError:
        raise
    # what torch raises where sizes are beyond all bounds
    except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(
            f"the model must be one that can be built here, got: {reason(error):.200}"
        ) from None


@overload
def load(folder: str | Path, *, device: str | None = None) -> Run: ...
@overload
def load(
    folder: str | Path,
    *,
    device: str | None = None,
    into: nn.Module,
    moves: Iterable[type[Move]] = (),
) -> nn.Module: ...
def load(
    folder: str | Path,
    *,
    device: str | None = None,
    into: nn.Module | None = None,
    moves: Iterable[type[Move]] = (),
) -> Run | nn.Module:
    """Open a run folder, or build an optimised model again.

    Args:
        folder: Written by `heedful.train`, or by `save` of what `heedful.optimize` returned.
        device: Where the model goes; `None` means a GPU where there is one.
        into: A fresh model as it was before it was optimised. Not needed for runs, nor for models
            of transformers, which come back as modules all the same.
        moves: The classes of your own moves, where `heedful.optimize` got any.

    Raises:
        RunError: The folder is no run and no model, or damaged.
        ConfigError: `into` is needed, the plan does not fit it, or it is given for a run.
        MissingExtraError: transformers is needed and not installed.
    """
    if not os.path.isdir(folder):  # also where no such name can be
        raise RunError(f"a run or a saved model must be a folder, got none at {folder}")
    if is_model(Path(folder)):
        model = load_model(Path(folder), into=into, moves=moves)
        return model.to(device or default_device())
    run = Run(folder, device=device)
    if into is not None:
        raise ConfigError(f"into must be left out for a run, got {type(into).__name__}")
    return run


def default_device() -> str:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def create(
    folder: Path,
    config: Config,
    corpus: Corpus,
    about: Mapping[str, Any],
    first: Callable[[Path], None],
) -> None:
    """Write a new run: all of it, or nothing.

    Args:
        folder: New or empty.
        config: Of the training.
        corpus: Its tokenisers and held-out examples are kept.
        about: How the run comes about.
        first: Writes the first checkpoint into the folder that it is given.

    Raises:
        RunError: The folder is not empty, or cannot be written.
    """
    check_unused(folder)

    def write(start: Path) -> None:
        for name in ("tokens", "splits"):
            (start / name).mkdir()
        write_bytes(start / CONFIG, dump_toml(config).encode())
        for side in SIDES:
            getattr(corpus.vocabularies, side).save(start / "tokens" / f"{side}.json")
        for split, examples in corpus.held_out.items():
            write_split(start, split, examples)
        first(start)
        write_json(start / ABOUT, about)
        seal(start, FIXED)

    write_into(folder, write, last=ABOUT, holds=WRITTEN)


def _read_config(kept: Sealed) -> Config:
    path = kept.folder / CONFIG
    try:
        kept.read(CONFIG)
    except RunError:
        config = edited(path, kept.json(ABOUT)) if _is_there(path) else None
        if config is None:
            raise
        return config
    try:
        return load_config(path)
    except HeedfulError as error:
        raise RunError(f"{path} must be a whole config, got: {reason(error):.500}") from None


def _is_there(path: Path) -> bool:
    try:
        return path.is_symlink() or path.exists()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} must be readable, got: {reason(error)}") from None
