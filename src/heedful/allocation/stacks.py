"""Stacks of layers: which can be left out whole, and what is left without them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError
from heedful.probing.unsupported import contains

KINDS = (nn.ModuleList, nn.Sequential)


class RemainingLayers(nn.ModuleList):
    """A list some of whose modules were left out: the others keep their names.

    So a plan, a file of weights and a search call every layer what the original calls it. By number
    and in loops they are found as if the list had been made of them alone.
    """

    def __getitem__(self, index: Any) -> Any:
        """Return the one at this place, or a list of several."""
        found = list(self)[index]
        return nn.ModuleList(found) if isinstance(index, slice) else found


def stacks_of(model: nn.Module) -> dict[str, list[str]]:
    """Return the layers of each stack, in their order, by the name of the stack.

    A stack is a list of two or more modules of one class, each of which attends; of lists inside of
    lists the outermost counts.

    Args:
        model: As it is.
    """
    sites, unknown = find_sites(model)
    attending = [site.name for site in sites] + list(unknown)
    found: dict[str, list[str]] = {}
    for name, part in model.named_modules():
        if not isinstance(part, KINDS) or any(contains(stack, name) for stack in found):
            continue
        layers = [f"{name}.{child}".lstrip(".") for child, _ in part.named_children()]
        alike = len({type(layer) for layer in part.children()}) == 1
        if len(layers) > 1 and alike and all(_any_in(layer, attending) for layer in layers):
            found[name] = layers
    return found


def leave_out(model: nn.Module, layers: Iterable[str]) -> None:
    """Take layers out of their stacks, in place.

    Args:
        model: Changed.
        layers: Their names.

    Raises:
        ConfigError: One of them is no layer of a stack, or none of a stack would stay.
    """
    stacks = stacks_of(model)
    for layer in layers:
        stack = next((stack for stack, of in stacks.items() if layer in of), None)
        if stack is None:
            known = ", ".join(of[0] + " ... " + of[-1] for of in stacks.values())
            raise ConfigError(
                f"plan must fit the model, got {layer!r}, which is none of its layers: "
                f"{known or 'none'}"
            )
        stacks[stack].remove(layer)
        if not stacks[stack]:
            raise ConfigError(f"a layer of {stack} must stay, got all of them left out")
        holder = model.get_submodule(stack)
        if type(holder) is nn.ModuleList:
            holder.__class__ = RemainingLayers
        delattr(holder, layer.rpartition(".")[2])


def places(model: nn.Module) -> Callable[[str], str]:
    """Return what says how a module or number is called where all layers are counted anew.

    Args:
        model: Of which layers may have been left out.
    """
    moved: dict[str, str] = {}
    for name, part in model.named_modules():
        if isinstance(part, KINDS):
            numbers = [child for child, _ in part.named_children() if child.isdecimal()]
            moved |= _moved(name, [f"{name}.{number}".lstrip(".") for number in numbers])
    return _place(moved)


def places_without(model: nn.Module, layers: Sequence[str]) -> Callable[[str], str]:
    """Return the same of a model that still has the layers that are to be left out.

    Args:
        model: As it is.
        layers: What is to be left out.
    """
    moved: dict[str, str] = {}
    for stack, of in stacks_of(model).items() if layers else ():
        moved |= _moved(stack, [layer for layer in of if layer not in layers])
    return _place(moved)


def _moved(stack: str, layers: Sequence[str]) -> dict[str, str]:
    counted = {layer: f"{stack}.{place}".lstrip(".") for place, layer in enumerate(layers)}
    return {old: new for old, new in counted.items() if old != new}


def _place(moved: dict[str, str]) -> Callable[[str], str]:
    def place(name: str) -> str:
        for old, new in moved.items():
            if name == old or contains(old, name):
                return new + name[len(old) :]
        return name

    return place


def within(layers: Sequence[str], name: str) -> bool:
    """Is a module one of these layers, or inside of one?"""
    return any(name == layer or contains(layer, name) for layer in layers)


def _any_in(layer: str, names: Sequence[str]) -> bool:
    return any(within([layer], name) for name in names)
