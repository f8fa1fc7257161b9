"""What was found of modules, kept: equal modules are built alike, however many there are."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from torch import nn

from heedful.errors import UnsupportedError

MOST = 4096  # things that are kept
Found = TypeVar("Found")


def kept(ask: Callable[[], Found], *key: Hashable) -> Found:
    """Return what `ask` returned, or raise what it raised, when it was asked for this key.

    Raises:
        UnsupportedError: From `ask`.
    """
    if key in _KEPT:
        _KEPT.move_to_end(key)
        found = _KEPT[key]
    else:
        try:
            found = ask()
        except UnsupportedError as error:
            found = str(error)
        _KEPT[key] = found
        if len(_KEPT) > MOST:
            _KEPT.popitem(last=False)
    if isinstance(found, str):
        raise UnsupportedError(found)
    return cast(Found, found)


_KEPT: OrderedDict[Hashable, Any] = OrderedDict()


def signature_of(module: nn.Module) -> Hashable:
    """Return all that decides how a module is built: classes, shapes, plain attributes, config."""
    parts: list[Hashable] = []
    for path, part in module.named_modules():
        shapes = [(n, tuple(x.shape)) for n, x in part.named_parameters(recurse=False)]
        shapes += [(n, tuple(x.shape)) for n, x in part.named_buffers(recurse=False)]
        parts.append((path, type(part), _plain(vars(part)), tuple(shapes)))
        config = vars(part).get("config")
        if config is not None:
            parts.append(_plain(vars(getattr(config, "seen", config))))
            parts.append(_plain(getattr(config, "own", {})))
    return tuple(parts)


def _plain(attributes: dict[str, Any]) -> Hashable:
    """Those that are numbers, words or lists of such, except which layer of a model it is."""
    return tuple(
        (name, repr(value))
        for name, value in attributes.items()
        if isinstance(value, bool | int | float | str | tuple | list | type(None))
        and name != "training"
        and (name != "layer_idx" or value is None)
    )
