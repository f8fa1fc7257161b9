"""Which modules of a model are sites that can be changed, and of which attention none can."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from heedful.allocation.adapters import ADAPTERS, Adapter
from heedful.allocation.attached import move_hooks, places_of, why_attached, why_tied
from heedful.allocation.precision import lower, precision_of, why_not_lowered
from heedful.allocation.projections import Projections
from heedful.errors import UnsupportedError
from heedful.probing.detection import detect_attention
from heedful.probing.unsupported import contains, unsupported_attention


@dataclass(frozen=True)
class Site:
    """One attention module of a model, by name: it is looked up anew in every copy.

    Args:
        name: Of the module.
        adapter: What reads and writes it.
    """

    name: str
    adapter: Adapter

    def of(self, model: nn.Module) -> nn.Module:
        """Return the module in this model."""
        return model.get_submodule(self.name)

    def is_in(self, model: nn.Module) -> bool:
        """Is it still there, or was its whole layer left out?"""
        holder, _, own = self.name.rpartition(".")
        try:
            return hasattr(model.get_submodule(holder), own)
        except AttributeError:
            return False

    def read(self, model: nn.Module) -> Projections:
        """Return what the site computes in this model."""
        module = self.of(model)
        return self.adapter.read(module).with_(precision=precision_of(module))

    def why_not(self, model: nn.Module, projections: Projections) -> str | None:
        """Why the site cannot become this in this model; `None` means it can."""
        module = self.of(model)
        reason = self.adapter.why_not(module, projections)
        if reason is None and projections.precision is not None:
            reason = why_not_lowered(module)
        return reason

    @torch.no_grad()
    def write(self, model: nn.Module, projections: Projections) -> None:
        """Change the site in this model, wherever the model uses it.

        Raises:
            UnsupportedError: This cannot be written there.
        """
        reason = self.why_not(model, projections)
        if reason is not None:
            raise UnsupportedError(f"{self.name} cannot become {projections.geometry}, {reason}")
        module = self.of(model)
        new = self.adapter.write(module, projections)
        lower(new, projections.precision)
        move_hooks(module, new)
        replace_module(model, module, new)


def find_sites(
    model: nn.Module, run: Callable[[nn.Module], object] | None = None
) -> tuple[list[Site], dict[str, str]]:
    """Return the sites that can be changed, in the order of the modules, and why others cannot.

    Among the reasons is what a site is beyond its weights: hooks inside it, layers of an adapter,
    masks of pruning, quantised weights, weights that it shares with others.

    Args:
        model: What is searched.
        run: Calls the model, to find attention that only its work gives away; see
            `detect_attention`. `None` means: nothing is run.

    Raises:
        UnsupportedError: The model itself is a site, so it could not be replaced.
    """
    sites: list[Site] = []
    refused: dict[str, str] = {}
    claimed: list[str] = []
    places = places_of(model)
    for name, module in model.named_modules():
        if any(contains(outer, name) for outer in claimed):
            continue
        adapter = next((adapter for adapter in ADAPTERS if adapter.claims(module)), None)
        if adapter is None:
            continue
        if not name:
            raise UnsupportedError(
                f"a model must hold its attention, got {type(module).__name__} alone; "
                "put it into another module"
            )
        claimed.append(name)
        reason = (
            why_attached(module, model.get_submodule(name.rpartition(".")[0]))
            or adapter.reason_against(module)
            or why_tied(name, module, places)
        )
        if reason is None:
            sites.append(Site(name, adapter))
        else:
            refused[name] = reason
    unknown = unsupported_attention(model, claimed)
    if run is not None:
        unknown = unsupported_attention(
            model, claimed, detect_attention(model, run, [*claimed, *unknown])
        )
    unknown |= refused
    return sites, {name: unknown[name] for name, _ in model.named_modules() if name in unknown}


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put one module in the place of another, under every name it has."""
    if new is not old:
        for name, module in list(model.named_modules(remove_duplicate=False)):
            if module is old:
                model.set_submodule(name, new)
