"""Layers heard with components in the last axis, and heads one behind the other."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.structure.layers import first, is_pointwise, last
from heedful.allocation.adapters.structure.structure import Structure

Hook = Callable[..., Any]


class Heard(nn.Module):
    """Takes hooks for a layer, and gives them what it gets in another order; holds no part of it.

    Args:
        layer: What is listened to.
        order: At which column of its input each component stands, head by head; `None`: so they do.
    """

    def __init__(self, layer: nn.Module, order: Tensor | None = None) -> None:
        super().__init__()
        self._layer, self._order = (layer,), order  # in a tuple it is no part

    def register_forward_pre_hook(self, hook: Hook, **_: Any) -> Any:
        """As of any module; what the hook returns takes the place of the input."""

        def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            found = hook(module, (self._ordered(args[0]), *args[1:]))
            return None if found is None else (self._back(found[0]), *found[1:])

        return self._layer[0].register_forward_pre_hook(before)

    def register_forward_hook(self, hook: Hook, **_: Any) -> Any:
        """As of any module; what the hook returns takes the place of the output."""

        def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            found = hook(module, args, last(module, output))
            return None if found is None else first(module, found)

        return self._layer[0].register_forward_hook(after)

    def _ordered(self, x: Tensor) -> Tensor:
        x = last(self._layer[0], x)
        return x if self._order is None else x[..., self._order.to(x.device)]

    def _back(self, x: Tensor) -> Tensor:
        if self._order is not None:
            x = x[..., self._order.argsort().to(x.device)]
        return first(self._layer[0], x)


class HeardSite(nn.Module):
    """Takes hooks for a layer that never runs: it is given what its site is given.

    Args:
        site: The module with the layer.
        name: Of the argument that both are given.
    """

    def __init__(self, site: nn.Module, name: str) -> None:
        super().__init__()
        self._site, self._name = (site,), name

    def register_forward_pre_hook(self, hook: Hook, **_: Any) -> Any:
        """As of any module, but what the hook returns is passed over."""

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            hook(module, (kwargs[self._name] if self._name in kwargs else args[0],))

        return self._site[0].register_forward_pre_hook(before, with_kwargs=True)


def heard(site: nn.Module, found: Structure) -> dict[str, nn.Module]:
    """Return what takes hooks for each layer of a site, by its path.

    Args:
        site: With heads.
        found: How it is built.
    """
    parts: dict[str, nn.Module] = {}
    for path in (*found.layers, found.out.path):
        layer = site.get_submodule(path)
        order = found.out.rows.flatten() if path == found.out.path else None
        if order is not None and torch.equal(order, torch.arange(len(order))):
            order = None
        if path in found.around:
            parts[path] = HeardSite(site, next(iter(found.arguments)))
        else:
            plain = order is None and not is_pointwise(layer)
            parts[path] = layer if plain else Heard(layer, order)
    return parts
