"""A changed model as a folder: its numbers, its plan, and how to build what the plan changes.

```text
model.safetensors   every number once, those of layers of few bits as they multiply
plan.toml           from the original architecture to this one
model.json          which original that was; enough to build it where it is of transformers
report.json         how it came about, where there is a report
manifest.json       sizes and hashes of the others
```
"""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save
from torch import nn

from heedful.allocation.fewer_layers import original_config
from heedful.allocation.hollow import give_numbers, without_numbers
from heedful.allocation.moves import Move
from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.saved_files import MODEL, PLAN, REPORT, WEIGHTS
from heedful.allocation.weights import LARGEST, compact_weights_of, fill, parse_tensors, weights_of
from heedful.errors import ConfigError, HeedfulError, MissingExtraError, RunError
from heedful.files import reason, write_bytes, write_files, write_into, write_json
from heedful.kernels.transformers import NAME, NUMBERS, register
from heedful.locks import check_unused
from heedful.manifest import MANIFEST, seal, sealed

FORMAT = 1
DTYPES = ("bfloat16", "float16", "float32", "float64")
# any other name is one that transformers looks for on a hub, to run what it finds there
ATTENTIONS = (
    "eager",
    "sdpa",
    "flash_attention_2",
    "flash_attention_3",
    "flex_attention",
    NAME,
    NUMBERS,
)
DEEPEST = 10_000  # layers: with more, no machine gets to the end of building the model


def save_model(
    folder: Path,
    model: nn.Module,
    plan: Plan,
    *,
    report: dict[str, Any] | None = None,
    beside: Mapping[str, bytes] | None = None,
    compact: bool = True,
) -> None:
    """Write a model that a plan was applied to; the folder appears whole or not at all.

    Args:
        folder: New.
        model: After the plan.
        plan: From the original to it.
        report: Written beside it.
        beside: Further files by their path in the folder, such as a tokeniser.
        compact: Of layers of few bits, write only what they multiply by.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    check_unused(folder)
    numbers = compact_weights_of if compact else weights_of

    def write(temporary: Path) -> None:
        write_bytes(temporary / WEIGHTS, save(numbers(model)))
        plan.save(temporary / PLAN)
        write_json(temporary / MODEL, describe(model))
        if report is not None:
            write_json(temporary / REPORT, report)
        write_files(temporary, beside or {})
        files = (path for path in temporary.rglob("*") if path.is_file())
        seal(temporary, [path.relative_to(temporary).as_posix() for path in files])

    holds = (WEIGHTS, PLAN, MODEL, REPORT, MANIFEST, *(beside or {}))
    write_into(folder, write, last=MODEL, holds=holds)


def load_model(
    folder: Path, *, into: nn.Module | None = None, moves: Iterable[type[Move]] = ()
) -> nn.Module:
    """Build a saved model again, in evaluation mode.

    Args:
        folder: Written by `save_model`.
        into: A fresh model of the original architecture; never changed. `None` will do for models
            of transformers, which are built from their config.
        moves: The classes of a user's own moves, where the plan holds any.

    Raises:
        RunError: The folder is damaged, or of another model.
        ConfigError: `into` is needed, the plan does not fit it, or holds a move of another class.
        MissingExtraError: transformers is needed and not installed.

    Cost:
        Of a model that is built here, the numbers of the file and those of the original's changed
        sites: those of no other part are there twice.
    """
    kept = sealed(folder, holder="a saved model")
    about = kept.json(MODEL)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RunError(f"{folder / MODEL} must have format {FORMAT}, got {about!r:.80}")
    kept.read(PLAN)
    try:
        plan = load_plan(folder / PLAN, moves)
        model = None if into is not None else _hollow(about, folder, plan)
        if model is None:
            model = plan.apply(_build(about, folder) if into is None else into)
    except HeedfulError:
        raise
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as e:
        raise RunError(f"{folder / PLAN} must fit the model, got: {reason(e):.200}") from None
    path = folder / WEIGHTS
    fill(model, parse_tensors(kept.read(WEIGHTS, most=LARGEST), path), path)
    return model.eval()


def _hollow(about: dict[str, Any], folder: Path, plan: Plan) -> nn.Module | None:
    """The changed model without numbers, but in the sites that are changed; `None` where that takes
    a whole original, or is refused: then it is built, and says why.
    """
    try:
        with without_numbers():
            original = _build(about, folder)
        give_numbers(original, plan.moves)
        return plan.apply(original)
    except Exception:
        return None


def describe(model: nn.Module) -> dict[str, Any]:
    """Return what is needed to build the original architecture again, as plain data."""
    kind = type(model)
    about: dict[str, Any] = {"format": FORMAT, "class": kind.__name__, "module": kind.__module__}
    if _of_transformers(kind.__module__):
        about["config"] = json.loads(original_config(model).to_json_string(use_diff=False))
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
        raise RunError(f"{folder / MODEL} must name a model of transformers, got {name!r:.80}")
    if not isinstance(about.get("config"), dict):
        raise RunError(f"{folder / MODEL} must hold a config, got {about.get('config')!r:.80}")
    attention = about.get("attention")
    if attention is not None and attention not in ATTENTIONS:
        raise RunError(
            f"{folder / MODEL} must name an attention of {', '.join(ATTENTIONS)}, "
            f"got {attention!r:.80}. Give load a model with it as `into`."
        )
    try:
        return _of_config(transformers, kind, about)
    except HeedfulError:
        raise
    except Exception as error:  # transformers raises anything where a config is damaged
        raise RunError(
            f"{folder / MODEL} must hold a config of {name}, got: {reason(error):.200}"
        ) from None


def _of_config(transformers: Any, kind: Any, about: dict[str, Any]) -> nn.Module:
    config = kind.config_class.from_dict(_harmless(about["config"]))
    if about.get("dtype") in DTYPES:  # else what transformers takes for granted
        config.dtype = about["dtype"]
    attention = about.get("attention")
    ours = attention in (NAME, NUMBERS)
    if ours:
        register()
    model = kind._from_config(config, attn_implementation=None if ours else attention)
    if ours:
        model.set_attn_implementation(NAME)
    if isinstance(about.get("generation"), dict):
        model.generation_config = transformers.GenerationConfig.from_dict(about["generation"])
    return model


def _harmless(config: Any) -> Any:
    """The config without what names code on a hub, which is not among what a model computes."""
    if isinstance(config, dict):
        pairs = cast(dict[str, Any], config).items()
        if list(config) == ["__float__"]:  # how transformers writes what JSON has no word for
            return float(config["__float__"])
        for key, value in pairs:
            if "layers" in key and type(value) is int and value > DEEPEST:
                raise RunError(f"a model must have at most {DEEPEST} layers, got {key} = {value}")
        return {
            key: _harmless(value)
            for key, value in pairs
            if key != "auto_map" and not key.endswith("_implementation")
        }
    if isinstance(config, list):
        return [_harmless(value) for value in cast(list[Any], config)]
    return config


def _of_transformers(module: str) -> bool:
    return module.startswith("transformers.")
