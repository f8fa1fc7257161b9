"""What a module is beyond its weights: hooks, adapters, masks of pruning, quantised weights."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from heedful.errors import UnsupportedError

HOOKS = (  # what is called with a module, whatever its parameters are
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
STORED = (  # what is called with the names of its parameters
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
MAKERS = {  # hooks of torch that make a weight anew in every call, and how to be rid of them
    "torch.nn.utils.prune": "torch.nn.utils.prune.remove",
    "torch.nn.utils.spectral_norm": "torch.nn.utils.remove_spectral_norm",
    "torch.nn.utils.weight_norm": "torch.nn.utils.remove_weight_norm",
}
OWN = ("transformers.",)  # whose hooks only listen, and are at home in their own models


def copied(model: nn.Module) -> nn.Module:
    """Return a copy, also of models whose weights are made anew in every call.

    Raises:
        UnsupportedError: Something in it cannot be copied.
    """
    made = {  # by pruning and old weight norm: torch copies no tensor with a history
        id(value): value.detach().clone()
        for part in model.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    memo: dict[int, Any] = dict(made)
    try:
        return copy.deepcopy(model, memo)
    except (RuntimeError, TypeError) as error:
        raise UnsupportedError(
            f"a model must be one that copy.deepcopy can copy, got {type(model).__name__}: {error}"
        ) from None


def why_attached(site: nn.Module, holder: nn.Module | None) -> str | None:
    """Say what of a site would be lost if its weights alone were written anew; `None`: nothing.

    Hooks on the site itself stay, except those of its state dict: `move_hooks`.

    Args:
        site: As it is.
        holder: The module that holds it.
    """
    if holder is not None and _of_peft(holder) and getattr(holder, "base_layer", None) is site:
        return _merge(type(holder).__name__)
    for path, part in site.named_modules():
        whose = f"its {path}" if path else "it"
        if _of_peft(part):
            return f"{whose}: {_merge(type(part).__name__)}"
        reason = _made_anew(part) or _hooked(part, inner=bool(path))
        if reason is None and "forward" in vars(part):
            reason = "has a forward of its own, which would be lost"
        if reason is None:
            reason = next(_strange(part), None)
        if reason is not None:
            return f"{whose} {reason}"
    return None


def move_hooks(old: nn.Module, new: nn.Module) -> None:
    """Let what listened to a module listen to the one that takes its place, and to no other."""
    if new is old:
        return
    for name in HOOKS:
        hooks = getattr(old, name)
        getattr(new, name).update(hooks)
        hooks.clear()
    new._is_full_backward_hook = old._is_full_backward_hook  # pyright: ignore[reportPrivateUsage]


def places_of(model: nn.Module) -> dict[tuple[Any, ...], list[str]]:
    """Return where every parameter stands: names of one parameter, which share their numbers.

    A module that has several names has one here.
    """
    places: dict[tuple[Any, ...], list[str]] = {}
    for name, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            places.setdefault(_memory(parameter), []).append(f"{name}.{own}".lstrip("."))
    return places


def why_tied(name: str, site: nn.Module, places: dict[tuple[Any, ...], list[str]]) -> str | None:
    """Say what shares numbers with a site, from which it would come apart; `None`: nothing."""
    for own, parameter in site.named_parameters():
        others = [place for place in places[_memory(parameter)] if place != f"{name}.{own}"]
        if others:
            return f"its {own} is tied to {others[0]}, and would come apart from it"
    return None


def _memory(parameter: Tensor) -> tuple[Any, ...]:
    if parameter.is_meta or not parameter.numel() or type(parameter) is not nn.Parameter:
        return (id(parameter),)
    return parameter.device, parameter.data_ptr(), parameter.numel()


def _of_peft(module: nn.Module) -> bool:
    return type(module).__module__.startswith("peft.")


def _merge(kind: str) -> str:
    return f"{kind} of peft stands around it; merge the adapter first, with merge_and_unload()"


def _made_anew(part: nn.Module) -> str | None:
    """Say why a weight is none that could be cut, where torch makes it of others."""
    if parametrize.is_parametrized(part):
        return (
            "is parametrised; torch.nn.utils.parametrize.remove_parametrizations makes it a weight"
        )
    for hook in part._forward_pre_hooks.values():  # pyright: ignore[reportPrivateUsage]
        remedy = MAKERS.get(type(hook).__module__)
        if remedy is not None:
            return f"has a weight that is made anew in each call; call {remedy} first"
    return None


def _hooked(part: nn.Module, *, inner: bool) -> str | None:
    for kind in (*HOOKS, *STORED) if inner else STORED:
        for hook in getattr(part, kind).values():
            if hook is True or _module_of(hook).startswith(OWN):
                continue  # `True` only marks another one
            return f"has a hook ({_name_of(hook)}), which would be lost or meet other shapes"
    return None


def _module_of(hook: Any) -> str:
    return str(getattr(getattr(hook, "func", hook), "__module__", None))


def _name_of(hook: Any) -> str:
    hook = getattr(hook, "func", hook)
    return str(getattr(hook, "__qualname__", type(hook).__name__))


def _strange(part: nn.Module) -> Iterator[str]:
    """Yield why weights are none that could be cut: quantised ones, and others of their own."""
    for name, parameter in part.named_parameters(recurse=False):
        kind = type(parameter)
        if kind is not nn.Parameter:
            yield f"has a {name} that is a {kind.__name__}, which cannot be cut"
        elif not parameter.is_floating_point():
            yield f"has a {name} of {parameter.dtype}, which cannot be cut"
    for name, buffer in part.named_buffers(recurse=False):
        if type(buffer) is not torch.Tensor:
            yield f"has a {name} that is a {type(buffer).__name__}, which cannot be cut"
