"""A checkpoint folder, checked and opened: nothing is unpickled, no code of it runs, no network."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from heedful.allocation.saved_files import is_model
from heedful.errors import HeedfulError, MissingExtraError, RunError, UnsupportedError
from heedful.files import read_json, reason

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
OTHERS = (".h5", ".msgpack", ".onnx", ".gguf")  # of other libraries
UNUSED = ("pooler",)  # what a class adds that no answer of a head needs


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model and the folder that it came from.

    Args:
        folder: Where it is.
        model: In evaluation mode, in the precision that its config says.
    """

    folder: Path
    model: nn.Module

    @property
    def architecture(self) -> str:
        """The name of the class."""
        return type(self.model).__name__

    @property
    def config(self) -> Any:
        """The config of transformers."""
        return self.model.config

    def read(self, name: str) -> dict[str, Any]:
        """Return a further JSON file of the folder, such as `1_Pooling/config.json`; often empty.

        Raises:
            RunError: It is damaged.
        """
        path = self.folder / name
        found = read_json(path) if path.is_file() else {}
        return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def is_checkpoint(folder: Path) -> bool:
    """Is this a folder as `save_pretrained` of transformers writes one, and no run?"""
    return os.path.isfile(folder / CONFIG) and not os.path.isfile(folder / "run.json")


def open_checkpoint(folder: Path | str) -> Checkpoint:
    """Open a checkpoint of transformers, or what `heedful optimize` made of one.

    Args:
        folder: With `config.json` and safetensors, or written by `heedful.optimize`.

    Raises:
        RunError: Files are missing or damaged, weights are pickled, or no class of transformers
            takes them.
        UnsupportedError: The class is none of transformers: code of the folder is never run.
        MissingExtraError: transformers is not installed.
    """
    folder = Path(folder)
    if is_model(folder):
        from heedful.allocation.stored import load_model

        model = load_model(folder)
        if not hasattr(model, "config"):
            raise UnsupportedError(f"{folder} must hold a model of transformers, got another one")
        return Checkpoint(folder=folder, model=model)
    if not is_checkpoint(folder):
        raise RunError(f"a checkpoint must be a folder with {CONFIG}, got {folder}")
    kind = _class_of(folder)
    _check_weights(folder)
    return Checkpoint(folder=folder, model=_read(kind, folder).eval())


@contextmanager
def reading() -> Generator[None]:
    """Let transformers read a folder: nothing from the network, whatever the folder names, and
    nothing to say but errors.
    """
    from unittest.mock import patch

    import huggingface_hub.constants as hub

    with quiet(), patch.object(hub, "HF_HUB_OFFLINE", True):
        yield


@contextmanager
def quiet() -> Generator[None]:
    """Let transformers say nothing but errors, and draw no bars.

    What it warns of whoever lets a model write is about settings that a folder brings along, and
    comes again at every call.
    """
    from transformers.utils import logging

    bars, loud = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(loud)
        if bars:
            logging.enable_progress_bar()


def _class_of(folder: Path) -> Any:
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise RunError(f"{folder / CONFIG} must be an object, got {config!r:.40}")
    named = cast(dict[str, Any], config).get("architectures")
    if not isinstance(named, list) or len(cast(list[Any], named)) != 1:
        raise RunError(
            f"{folder / CONFIG} must name one class in architectures, such as "
            f'["BertModel"], got {named!r:.80}'
        )
    name = str(cast(list[Any], named)[0])
    transformers = _transformers()
    kind = getattr(transformers, name, None) if name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise UnsupportedError(
            f"{folder / CONFIG} must name a class of transformers {transformers.__version__}, "
            f"got {name!r:.80}; code that comes with a checkpoint is never run"
        )
    return kind


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(
            "transformers must be installed, got none: pip install 'heedful[hf]'"
        ) from None
    return transformers


def _check_weights(folder: Path) -> None:
    if (folder / WEIGHTS).is_file():
        return
    if (folder / SHARDS).is_file():
        index = read_json(folder / SHARDS)
        shards: Any = index.get("weight_map") if isinstance(index, dict) else None
        files = set(shards.values()) if isinstance(shards, dict) else set()
        for name in sorted(map(str, files)):
            if Path(name).name != name or not (folder / name).is_file():
                raise RunError(f"{folder / SHARDS} must name files beside it, got {name!r:.80}")
        if files:
            return
        raise RunError(f"{folder / SHARDS} must say where the weights are, got no weight_map")
    there = sorted(path.name for path in folder.iterdir())
    pickled = [name for name in there if name.endswith(PICKLED)]
    other = [name for name in there if name.endswith(OTHERS)]
    if pickled:
        raise RunError(
            f"weights must be safetensors, got pickled ones alone: {pickled[0]} of {folder}. "
            "Where you trust them, load them once with transformers and save_pretrained them"
        )
    raise RunError(f"{folder} must hold {WEIGHTS}, got {other[0] if other else 'no weights'}")


def _read(kind: Any, folder: Path) -> nn.Module:
    try:
        with reading():
            model, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except HeedfulError:
        raise
    except Exception as error:  # transformers raises anything where a folder is damaged
        raise RunError(
            f"{folder} must be a whole checkpoint of {kind.__name__}, got: {reason(error):.200}"
        ) from None
    missing = [
        name for name in sorted(found["missing_keys"]) if not set(UNUSED) & set(name.split("."))
    ]
    if missing:
        raise RunError(
            f"{folder} must hold all weights of {kind.__name__}, got {len(missing)} missing, "
            f"the first {missing[0]}"
        )
    return model
