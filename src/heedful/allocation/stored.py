"""A changed model as a folder: its numbers, its plan, and how to build what the plan changes.

```text
model.safetensors   every number once
plan.toml           from the original architecture to this one
model.json          which original that was; enough to build it where it is of transformers
report.json         how it came about, where there is a report
```
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.weights import fill, read_tensors, weights_of
from heedful.errors import ConfigError, MissingExtraError, RunError
from heedful.files import read_json, write_bytes, write_folder, write_json

WEIGHTS, PLAN, MODEL, REPORT = "model.safetensors", "plan.toml", "model.json", "report.json"
FORMAT = 1
DTYPES = ("bfloat16", "float16", "float32", "float64")


def save_model(
    folder: Path, model: nn.Module, plan: Plan, *, report: dict[str, Any] | None = None
) -> None:
    """Write a model that a plan was applied to; the folder appears whole or not at all.

    Args:
        folder: New.
        model: After the plan.
        plan: From the original to it.
        report: Written beside it.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"output must be a new or an empty folder, got {folder}")

    def write(temporary: Path) -> None:
        write_bytes(temporary / WEIGHTS, save(weights_of(model)))
        plan.save(temporary / PLAN)
        write_json(temporary / MODEL, describe(model))
        if report is not None:
            write_json(temporary / REPORT, report)

    if folder.exists():
        folder.rmdir()
    write_folder(folder, write)


def is_model(folder: Path) -> bool:
    """Is this a folder that `save_model` wrote?"""
    return (folder / MODEL).is_file()


def load_model(folder: Path, *, into: nn.Module | None = None) -> nn.Module:
    """Build a saved model again, in evaluation mode.

    Args:
        folder: Written by `save_model`.
        into: A fresh model of the original architecture; never changed. `None` will do for models
            of transformers, which are built from their config.

    Raises:
        RunError: The folder is damaged, or of another model.
        ConfigError: `into` is needed, or the plan does not fit it.
        MissingExtraError: transformers is needed and not installed.
    """
    about = read_json(folder / MODEL)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RunError(f"{folder / MODEL} must have format {FORMAT}, got {about!r:.80}")
    original = _build(about, folder) if into is None else into
    model = load_plan(folder / PLAN).apply(original)
    fill(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval()


def describe(model: nn.Module) -> dict[str, Any]:
    """Return what is needed to build the original architecture again, as plain data."""
    kind = type(model)
    about: dict[str, Any] = {"format": FORMAT, "class": kind.__name__, "module": kind.__module__}
    if _of_transformers(kind.__module__):
        about["config"] = json.loads(model.config.to_json_string(use_diff=False))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        about["attention"] = model.config._attn_implementation  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
        about["dtype"] = str(model.dtype).removeprefix("torch.")
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            about["generation"] = json.loads(generation.to_json_string(use_diff=False))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    return about


def _build(about: dict[str, Any], folder: Path) -> nn.Module:
    module, name = str(about.get("module")), str(about.get("class"))
    if not _of_transformers(module):
        raise ConfigError(
            f"load must get `into`, a fresh {name} as it was before, got none: "
            f"{folder} holds numbers, no code"
        )
    try:
        importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError(
            "transformers must be installed, got none: pip install 'heedful[hf]'"
        ) from None
    # a class of transformers by its name, never code that the folder brings along
    transformers: Any = sys.modules["transformers"]
    kind = getattr(transformers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise RunError(f"{folder / MODEL} must name a model of transformers, got {name!r}")
    if not isinstance(about.get("config"), dict):
        raise RunError(f"{folder / MODEL} must hold a config, got {about.get('config')!r:.80}")
    config = kind.config_class.from_dict(about["config"])
    if about.get("dtype") in DTYPES:  # else what transformers takes for granted
        config.dtype = about["dtype"]
    model = kind._from_config(config, attn_implementation=about.get("attention"))
    if isinstance(about.get("generation"), dict):
        model.generation_config = transformers.GenerationConfig.from_dict(about["generation"])
    return model


def _of_transformers(module: str) -> bool:
    return module.startswith("transformers.")
