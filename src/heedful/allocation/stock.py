"""A changed model as a plain model of its own class of transformers: what its config can say."""

import copy
from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_sites import Dropped
from heedful.allocation.projections import Geometry
from heedful.allocation.sites import Site, find_sites
from heedful.allocation.stacks import RemainingLayers, places
from heedful.allocation.weights import weights_of
from heedful.errors import UnsupportedError
from heedful.files import reason
from heedful.kernels.transformers import ALLOCATED, NAME, NUMBERS
from heedful.nn.low_precision import LowPrecisionLinear

PLAIN = "a plain checkpoint"  # how every refusal begins
MECHANISM = "heedful_mechanism"  # by which name a site holds what mixes in another way
WINDOW = "sliding_attention"  # as `layer_types` says it


def stock_model(model: nn.Module) -> nn.Module:
    """Return a model of the same class with the same numbers, built by its config alone.

    Args:
        model: Of transformers, after a plan; never changed.

    Raises:
        UnsupportedError: No config of that class says what it is; with the site and the reason.
    """
    config, weights = _stock(model)
    made = built(model, config)
    made.load_state_dict(weights, strict=False)
    made.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        made.generation_config = copy.deepcopy(model.generation_config)
    return cast(nn.Module, made.eval())


def why_not_stock(model: nn.Module) -> str | None:
    """Say why no plain checkpoint can be what a model is; `None` means that one can."""
    try:
        _stock(model)
    except UnsupportedError as error:
        return str(error)
    return None


def drop_biases(model: nn.Module, kept: Collection[str]) -> nn.Module:
    """Take away, in place, every bias that is not among these: those that moves have added.

    Args:
        model: After its moves.
        kept: The names of parameters that stay.
    """
    for name, _ in list(model.named_parameters()):
        holder, _, leaf = name.rpartition(".")
        if leaf == "bias" and name not in kept:
            model.get_submodule(holder).bias = None  # pyright: ignore[reportArgumentType]
    return model


def _stock(model: nn.Module) -> tuple[Any, dict[str, Tensor]]:
    """The config, and the numbers as the class of the model names them."""
    if not type(model).__module__.startswith("transformers."):
        raise UnsupportedError(
            f"{PLAIN} must be of a class of transformers, got {type(model).__name__}"
        )
    _check_modules(model)
    sites = find_sites(model)[0]
    config = _config(model, sites)
    with torch.device("meta"):
        wanted = weights_of(built(model, config))
    if _lost_biases(model, wanted) and hasattr(config, "attention_bias"):
        config.attention_bias = True  # where all projections have one; those of others are 0
        with torch.device("meta"):
            wanted = weights_of(built(model, config))
    return config, _numbers(model, wanted, sites)


def _check_modules(model: nn.Module) -> None:
    """Refuse what is no module of transformers, but for windows, which a config may say."""
    for name, part in model.named_modules():
        if not type(part).__module__.startswith("heedful.") or isinstance(part, RemainingLayers):
            continue
        if isinstance(part, Dropped):
            raise UnsupportedError(f"{PLAIN} must have all of its attention, got none in {name}")
        if isinstance(part, LowPrecisionLinear):
            raise UnsupportedError(
                f"{PLAIN} must multiply in the precision of its weights, got {name} in "
                f"{part.precision}"
            )
        if name.endswith(MECHANISM) or f".{MECHANISM}." in name:
            continue
        raise UnsupportedError(
            f"{PLAIN} must hold modules of transformers alone, got {name}, a {type(part).__name__}"
        )


def _config(model: nn.Module, sites: Sequence[Site]) -> Any:
    config: Any = copy.deepcopy(model.config)
    geometries = {site.name: site.read(model).geometry for site in sites}
    if geometries:
        first, geometry = next(iter(geometries.items()))
        for name, other in geometries.items():
            if _size(other) != _size(geometry):
                raise UnsupportedError(
                    f"{PLAIN} must have the same heads at every site, got {_size(other)} in {name} "
                    f"and {_size(geometry)} in {first}"
                )
        _say_heads(config, geometry, first)
    _say_windows(config, model, geometries)
    try:
        return type(config).from_dict(config.to_dict())
    except Exception as error:  # transformers raises what it likes
        raise UnsupportedError(
            f"{PLAIN} must have a valid {type(config).__name__}, got: {reason(error):.200}"
        ) from None


def _size(geometry: Geometry) -> str:
    shared = "" if geometry.kv_heads == geometry.heads else f" on {geometry.kv_heads}"
    return f"{geometry.heads}{shared} x {geometry.dim}"


def _say_heads(config: Any, geometry: Geometry, site: str) -> None:
    if not hasattr(config, "num_attention_heads"):
        raise UnsupportedError(
            f"{PLAIN} must say in one number how many heads it has, got {type(config).__name__}"
        )
    for key in ("num_attention_heads", "encoder_attention_heads", "decoder_attention_heads"):
        if hasattr(config, key):
            setattr(config, key, geometry.heads)
    if hasattr(config, "num_key_value_heads"):
        config.num_key_value_heads = geometry.kv_heads
    elif geometry.kv_heads != geometry.heads:
        raise UnsupportedError(
            f"{PLAIN} must have a num_key_value_heads to share keys, got {type(config).__name__} "
            f"and {_size(geometry)} in {site}"
        )
    if hasattr(config, "d_kv"):
        config.d_kv = geometry.dim
    elif hasattr(config, "head_dim") or geometry.dim * geometry.heads != geometry.width:
        config.head_dim = geometry.dim  # some classes read it that do not list it


def _say_windows(config: Any, model: nn.Module, geometries: dict[str, Geometry]) -> None:
    """Write windows as `layer_types`, where they are all of one width."""
    mixing = {name: each.mixing for name, each in geometries.items() if each.mixing is not None}
    widths: set[int] = set()
    for name, each in mixing.items():
        settings = each.settings
        core = next(
            part for part in model.get_submodule(name).modules() if hasattr(part, MECHANISM)
        )
        causal = getattr(core, "is_causal", False)
        if each.name != "window" or settings.get("sinks") or not causal:
            raise UnsupportedError(f"{PLAIN} must attend by dot products, got {each} in {name}")
        if not isinstance(getattr(config, "layer_types", None), list):
            raise UnsupportedError(
                f"{PLAIN} must have layer_types to have windows, got {type(config).__name__} and "
                f"{each} in {name}"
            )
        config.layer_types[core.layer_idx] = WINDOW
        widths.add(settings["window"])
    if not widths:
        return
    if WINDOW in cast(Any, model).config.layer_types:  # those that were there before
        widths.add(config.sliding_window)
    if len(widths) > 1:
        raise UnsupportedError(f"{PLAIN} must have windows of one width, got {sorted(widths)}")
    config.sliding_window = widths.pop()
    if hasattr(config, "use_sliding_window"):
        config.use_sliding_window = True


def built(model: nn.Module, config: Any) -> Any:
    """Return a new model of the same class and precision that attends in the same way.

    Args:
        model: Of transformers.
        config: Of the new one.

    Raises:
        UnsupportedError: The class refuses the config.
    """
    attention = cast(Any, model).config._attn_implementation
    ours = attention in (ALLOCATED, NAME, NUMBERS)
    config = copy.deepcopy(config)
    config.dtype = cast(Any, model).dtype
    try:
        return cast(Any, type(model))._from_config(
            config, attn_implementation=None if ours else attention
        )
    except Exception as error:  # transformers raises what it likes
        raise UnsupportedError(
            f"{PLAIN} must be what {type(model).__name__} can be built as, got: "
            f"{reason(error):.200}"
        ) from None


def _lost_biases(model: nn.Module, wanted: dict[str, Tensor]) -> list[str]:
    return [name for name, x in _counted(model).items() if name not in wanted and bool(x.any())]


def _counted(model: nn.Module) -> dict[str, Tensor]:
    """The numbers by the names that they have where layers are counted without gaps."""
    place = places(model)
    return {place(name): x for name, x in weights_of(model).items()}


def _numbers(
    model: nn.Module, wanted: dict[str, Tensor], sites: Sequence[Site]
) -> dict[str, Tensor]:
    found, place = _counted(model), places(model)
    for name in _lost_biases(model, wanted):
        raise UnsupportedError(
            f"{PLAIN} must have a place for all numbers, got none in {type(model).__name__} for "
            f"{name}"
        )
    numbers: dict[str, Tensor] = {}
    for name, like in wanted.items():
        if name not in found:  # a bias that the others' makes necessary
            numbers[name] = torch.zeros(like.shape, dtype=like.dtype)
            continue
        if found[name].shape != like.shape:
            site = next((each for each in sites if name.startswith(f"{place(each.name)}.")), None)
            size = "" if site is None else f" in {site.name}, {_size(site.read(model).geometry)}"
            raise UnsupportedError(
                f"{PLAIN} must have heads that {type(model).__name__} can say, got {name} of "
                f"{tuple(found[name].shape)} for {tuple(like.shape)}{size}"
            )
        numbers[name] = found[name]
    return numbers
