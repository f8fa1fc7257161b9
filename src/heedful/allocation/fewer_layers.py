"""A model with fewer layers, all else as it was; one of transformers says so in its config."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn

from heedful.allocation.attached import copied
from heedful.allocation.stacks import leave_out, places, stacks_of
from heedful.allocation.stock import built
from heedful.errors import HeedfulError, UnsupportedError
from heedful.files import reason
from heedful.probing.unsupported import contains

ORIGINAL = "heedful_original_config"  # by which name a model holds the config that it was built by
WORDS = ("layer", "depth", "block")  # one of them is in the name of what counts layers
PLAIN = (bool, int, float, str, tuple, list, type(None))


def without_layers(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Return a copy in which these layers are missing; the model itself where there are none.

    The other layers keep their names.

    A model of transformers becomes what its own class would be with so many layers: its config says
    their number, layers know anew which they are (a cache has a place for each), and what else its
    config says of each layer is said of those that stay.

    Args:
        model: Never changed.
        layers: By their names, e.g. `encoder.layer.3`.

    Raises:
        ConfigError: One of them is no layer of a stack, or none of a stack would stay.
        UnsupportedError: No config of the model's class says what would be left, and why.

    Source:
        Fan et al. 2020, arXiv:1909.11556 (LayerDrop); Sajjad et al. 2023, arXiv:2004.03844.

    Cost:
        For each stack the shapes of a few models of its class, without numbers.
    """
    if not layers:
        return model
    new = copied(model)
    _leave_out(model, new, layers)
    return new


def why_not_without(model: nn.Module, layers: Sequence[str]) -> str | None:
    """Say why these layers cannot be left out; `None` where they can. Copies no number.

    Args:
        model: As it is.
        layers: By their names.
    """
    outline = copy.deepcopy(model, {id(x): _outline(x) for x in model.parameters()})
    try:
        _leave_out(model, outline, layers)
    except HeedfulError as error:
        return str(error)
    return None


def _outline(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)


def original_config(model: nn.Module) -> Any:
    """Return the config that a model was built by, before any of its layers was left out."""
    return getattr(model, ORIGINAL, None) or cast(Any, model).config


def _leave_out(model: nn.Module, new: nn.Module, layers: Sequence[str]) -> None:
    """Let a copy of a model be without these layers."""
    leave_out(new, layers)
    left = list(layers)
    for name, part in model.named_modules():  # the outermost model of transformers has its layers
        own = [layer for layer in left if contains(name, layer)]
        if own and type(part).__module__.startswith("transformers.") and hasattr(part, "config"):
            start = len(name) + 1 if name else 0
            _say(part, new.get_submodule(name), [layer[start:] for layer in own])
            left = [layer for layer in left if layer not in own]


def _say(old: nn.Module, new: nn.Module, layers: Sequence[str]) -> None:
    """Let a model with fewer layers be one that its config says.

    Args:
        old: With all of them.
        new: Without; changed.
        layers: Their names in `old`.
    """
    config: Any = cast(Any, old).config
    told, stacks = config.to_dict(), stacks_of(old)
    sizes = {stack: len(of) for stack, of in stacks.items()}
    with torch.device("meta"):
        whole = built(old, config)
        for stack, of in stacks.items():
            kept = [place for place, layer in enumerate(of) if layer not in layers]
            if len(kept) < len(of):
                told = _told(old, told, kept, stack, sizes)
                sizes[stack] = len(kept)
        small = built(old, _config(config, told))
    _check_numbers(new, small)
    _check_cache(whole, small)
    _count_anew(old, new, whole, small)
    if not hasattr(new, ORIGINAL):
        setattr(new, ORIGINAL, copy.deepcopy(config))


def _told(
    old: nn.Module, told: dict[str, Any], kept: Sequence[int], stack: str, sizes: dict[str, int]
) -> dict[str, Any]:
    """What a config says where only these layers of a stack are left: found by trial.

    Args:
        old: With all of its layers.
        told: What its config says, perhaps of fewer layers in other stacks.
        kept: The places of those that stay.
        stack: The name of the stack.
        sizes: How many layers each stack has with that config.
    """
    count, wanted = sizes[stack], sizes | {stack: len(kept)}
    for path in _counts(told, count):
        for lists in (True, False):
            said = _shortened(told, path, kept, count, lists=lists)
            try:
                small = built(old, _config(cast(Any, old).config, said))
            except UnsupportedError:
                continue
            if {name: _length(small, name) for name in wanted} == wanted:
                return said
    raise UnsupportedError(
        f"{type(old).__name__} must say in its config how many layers {stack} has, got no number "
        f"that says {len(kept)} instead of {count}"
    )


def _length(model: nn.Module, stack: str) -> int:
    try:
        return len(model.get_submodule(stack))  # pyright: ignore[reportArgumentType]
    except AttributeError:
        return 0


def _counts(told: Any, count: int, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a config this number may count layers."""
    items = told.items() if isinstance(told, dict) else enumerate(told)
    for key, value in cast(Any, items):
        here = (*path, key)
        if type(value) is int and value == count and _of_layers(here):
            yield here
        elif isinstance(value, dict) or (isinstance(value, list) and _of_layers(here)):
            yield from _counts(value, count, here)


def _of_layers(path: tuple[str | int, ...]) -> bool:
    name = next(key for key in reversed(path) if isinstance(key, str))
    return any(word in name for word in WORDS)


def _shortened(
    told: dict[str, Any], path: Sequence[Any], kept: Sequence[int], count: int, *, lists: bool
) -> dict[str, Any]:
    """The config with another number at a place, and lists beside it without what is left out."""
    said = copy.deepcopy(told)
    beside: Any = said
    for key in path[:-1]:
        beside = beside[key]
    beside[path[-1]] = len(kept)
    for key, value in list(beside.items()) if lists and isinstance(beside, dict) else ():
        if isinstance(value, list) and len(value) == count and _of_layers((key,)):
            beside[key] = [value[place] for place in kept]
    return said


def _config(config: Any, told: dict[str, Any]) -> Any:
    try:
        return type(config).from_dict(copy.deepcopy(told))
    except Exception as error:  # transformers raises what it likes
        raise UnsupportedError(
            f"a {type(config).__name__} must allow fewer layers, got: {reason(error):.200}"
        ) from None


def _check_numbers(new: nn.Module, small: nn.Module) -> None:
    """Raise unless all numbers that are left have the places that the config gives them."""
    place = places(new)
    have = {place(name): x.shape for name, x in new.state_dict().items()}
    want = {name: x.shape for name, x in small.state_dict().items()}
    for name in (*want, *have):
        if have.get(name) != want.get(name):
            kind = type(new).__name__
            sizes = [tuple(x[name]) if name in x else "none" for x in (want, have)]
            raise UnsupportedError(
                f"what is left must be a {kind} with fewer layers, got {name} of {sizes[1]} where "
                f"that has {sizes[0]}"
            )


def _check_cache(whole: nn.Module, small: nn.Module) -> None:
    """Raise where a cache, which has as many places as the config says, would be too small."""
    (places_before, layers_before), (there, layers) = _cached(whole), _cached(small)
    if there < layers and places_before >= layers_before:
        kind = type(small.config).__name__
        raise UnsupportedError(
            f"a cache must have a place for each of {layers} layers that are left, got {there}, as "
            f"{kind} counts them"
        )


def _cached(model: nn.Module) -> tuple[int, int]:
    """How many layers the config of a model gives a cache, and how many would be in it."""
    config, writer = cast(Any, model).config, cast(Any, model).get_decoder()
    text = config.get_text_config(decoder=True)
    found = [vars(part).get("layer_idx") for part in (writer or model).modules()]
    layers = 1 + max((x for x in found if isinstance(x, int)), default=-1)
    return getattr(text, "num_hidden_layers", layers), layers


def _count_anew(old: nn.Module, new: nn.Module, whole: nn.Module, small: nn.Module) -> None:
    """Let modules and their configs know how many layers there are, and which each of them is."""
    place_before, place_after = places(old), places(new)
    for name, part in new.named_modules():
        there, here = place_before(name), place_after(name)
        try:
            before, after = whole.get_submodule(there), small.get_submodule(here)
        except AttributeError:
            kind = type(part).__name__
            raise UnsupportedError(f"{name} must be a module of its model, got a {kind}") from None
        one, other = _plain(before), _plain(after)
        if one.keys() != other.keys():
            raise UnsupportedError(f"{name} must be the same at every place, got other parts")
        for key, was in one.items():
            now = other[key]
            if was == now:
                continue
            if there != here and "drop" not in key and not _is_place(there, here, was, now):
                raise UnsupportedError(
                    f"{name} must be the same at every place, got {key} = {was!r:.40}, and "
                    f"{now!r:.40} at {here}"
                )
            setattr(part, key, copy.deepcopy(now))
        for key, now in _differing(before, after):
            setattr(part.config, key, copy.deepcopy(now))


def _plain(part: nn.Module) -> dict[str, Any]:
    """The attributes of a module that are numbers, words or lists, but for its mode."""
    return {
        key: value
        for key, value in vars(part).items()
        if isinstance(value, PLAIN) and not key.startswith("_") and key != "training"
    }


def _is_place(old: str, new: str, was: Any, now: Any) -> bool:
    """Do two attributes say at which place of a stack a layer stands?"""
    return type(was) is int and str(was) in old.split(".") and str(now) in new.split(".")


def _differing(before: nn.Module, after: nn.Module) -> list[tuple[str, Any]]:
    """What the config of a module says otherwise with fewer layers."""
    one, other = (vars(part).get("config") for part in (before, after))
    if not hasattr(one, "to_dict") or not hasattr(other, "to_dict"):
        return []
    return [
        (key, value)
        for key, value in vars(other).items()
        if not key.startswith("_") and isinstance(value, PLAIN) and vars(one).get(key) != value
    ]
