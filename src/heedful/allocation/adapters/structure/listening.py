"""Layers heard with components in the last axis, and heads one behind the other."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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

        return self._before(before)

    def register_forward_hook(self, hook: Hook, **_: Any) -> Any:
        """As of any module; what the hook returns takes the place of the output."""

        def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            found = hook(module, args, last(module, output))
            return None if found is None else first(module, found)

        return self._after(after)

    def _before(self, hook: Hook) -> Any:
        return self._layer[0].register_forward_pre_hook(hook)

    def _after(self, hook: Hook) -> Any:
        return self._layer[0].register_forward_hook(hook)

    def _ordered(self, x: Tensor) -> Tensor:
        x = last(self._layer[0], x)
        return x if self._order is None else x[..., self._order.to(x.device)]

    def _back(self, x: Tensor) -> Tensor:
        if self._order is not None:
            x = x[..., self._order.argsort().to(x.device)]
        return first(self._layer[0], x)


class HeardProduct(Heard):
    """Takes hooks for a layer that never runs: its site multiplies by the weight without it.

    Args:
        site: The module that does.
        layer: What is listened to.
        order: As of `Heard`.
    """

    def __init__(self, site: nn.Module, layer: nn.Module, order: Tensor | None = None) -> None:
        super().__init__(layer, order)
        self._site = (site,)

    def _before(self, hook: Hook) -> Any:
        return _Hearing(self._site[0], self._layer[0], before=hook)

    def _after(self, hook: Hook) -> Any:
        return _Hearing(self._site[0], self._layer[0], after=hook)


class _Hearing(TorchFunctionMode):
    """While a site runs, calls hooks around its products with the weight of a layer.

    Args:
        site: That runs.
        layer: Whose weight it is.
        before: As a forward pre-hook of the layer.
        after: As a forward hook of the layer.
    """

    def __init__(
        self,
        site: nn.Module,
        layer: nn.Module,
        *,
        before: Hook | None = None,
        after: Hook | None = None,
    ) -> None:
        super().__init__()
        self._layer, self._hooks = layer, (before, after)

        def begin(*_: Any) -> None:
            self.__enter__()

        def end(*_: Any) -> None:
            self.__exit__(None, None, None)

        self._handles = (
            site.register_forward_pre_hook(begin),
            site.register_forward_hook(end, always_call=True),
        )

    def remove(self) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        weight = args[1] if len(args) > 1 else named.get("weight")
        if getattr(func, "__name__", "") != "linear" or weight is not self._layer.weight:
            return func(*args, **named)
        given, *rest = args or (named.pop("input"),)
        before, after = self._hooks
        if before is not None and (other := before(self._layer, (given,))) is not None:
            given = other[0]
        result = func(given, *rest, **named)
        other = None if after is None else after(self._layer, (given,), result)
        return result if other is None else other


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
            parts[path] = HeardProduct(site, layer, order)
        else:
            plain = order is None and not is_pointwise(layer)
            parts[path] = layer if plain else Heard(layer, order)
    return parts
