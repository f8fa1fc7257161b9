"""Which whole numbers a module looks up while it runs, and how to let it find others."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from heedful.allocation.adapters.structure.layers import is_layer
from heedful.allocation.adapters.structure.scratch import attend_by, fuse
from heedful.allocation.adapters.structure.widths import TOLD, tell

# what says how many heads there are, whether anybody looks or not
COUNTS = ("num_heads", "num_attention_heads", "n_heads", "num_key_value_heads", "num_kv_heads")


class Place(NamedTuple):
    """An attribute of a module, or of the config that it holds.

    Args:
        path: Of the module.
        name: Of the attribute.
        config: Is it one of its config?
    """

    path: str
    name: str
    config: bool = False


def reads_of(module: nn.Module, cases: Iterable[tuple[str, dict[str, Any]]]) -> dict[Place, Any]:
    """Return the whole numbers, and the lists of them, that a scratch copy looks up as it runs."""
    copied = copy.deepcopy(module)
    found: dict[Place, Any] = {}
    for path, part in copied.named_modules():
        if is_layer(part) or isinstance(part, nn.Dropout):
            continue
        for name in COUNTS:
            _keep(found, Place(path, name), vars(part).get(name))
        _listen(part, path, found)
        config = vars(part).get("config")
        if hasattr(config, "_attn_implementation"):
            vars(part)["config"] = _Heard(config, path, found)
    for attention, arguments in cases:
        attend_by(copied, attention)
        fuse(copied, attention)
        with torch.no_grad():
            copied(**arguments)
    return found


def put(module: nn.Module, sizes: Iterable[tuple[Place, Any]]) -> None:
    """Set attributes; a config becomes a view of the one of the model, in which some differ.

    Args:
        module: Changed.
        sizes: Which attributes, and what they shall say.
    """
    for place, value in sizes:
        holder: Any = module.get_submodule(place.path)
        if place.name == TOLD:
            tell(holder, *value)
            continue
        if isinstance(getattr(holder, place.name, None), list):
            value = list(value)
        if place.config:
            holder.config = ConfigView(holder.config, {place.name: value})
        else:
            setattr(holder, place.name, value)


class ConfigView:
    """A config in which some attributes are others; all else is looked up when it is asked for.

    A copy would not hear when its model is told to attend in another way.

    Args:
        config: Of the model.
        own: What differs.
    """

    def __init__(self, config: Any, own: dict[str, Any]) -> None:
        if isinstance(config, ConfigView):
            config, own = config.seen, config.own | own
        self.seen, self.own = config, own

    def __getattr__(self, name: str) -> Any:
        if name in ("seen", "own") or name.startswith("__"):  # before there is anything to ask
            raise AttributeError(name)
        own = self.own
        return own[name] if name in own else getattr(self.seen, name)


def _keep(found: dict[Place, Any], place: Place, value: Any) -> None:
    whole = type(value) is int
    several = isinstance(value, tuple | list) and value and all(type(x) is int for x in value)
    if whole or several:
        found[place] = value


def _listen(part: nn.Module, path: str, found: dict[Place, Any]) -> None:
    """Let a module note what is looked up in it."""
    kind = type(part)

    def look(self: Any, name: str) -> Any:
        value = kind.__getattribute__(self, name)
        if not name.startswith("__"):
            _keep(found, Place(path, name), value)
        return value

    part.__class__ = type(kind.__name__, (kind,), {"__getattribute__": look})


class _Heard:
    """A config that notes what is looked up in it."""

    def __init__(self, config: Any, path: str, found: dict[Place, Any]) -> None:
        self.seen = getattr(config, "seen", config)
        self._parts = config, path, found

    def __getattr__(self, name: str) -> Any:
        config, path, found = self.__dict__["_parts"]
        value = getattr(config, name)
        _keep(found, Place(path, name, config=True), value)
        return value
