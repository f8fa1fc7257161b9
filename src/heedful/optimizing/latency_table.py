"""What each site costs at each geometry, measured on this machine while the model does its work."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from heedful.allocation.projections import Projections
from heedful.allocation.sites import Site
from heedful.probing.replace import replaced

ROUNDS = 2  # of the original as it is; each way is then timed once, in turns with it


class LatencyTable:
    """Seconds of work by site and geometry; whatever was measured is not measured again.

    A model in which many sites are changed at once is timed site by site, in turns with the
    original, so that one run of the work measures as many entries as there are sites.

    Args:
        model: The original, in the form of `unfused`.
        sites: All that may be changed.
        work: The same amount of work for every model.
        known: What `to_json` of an earlier table of the same work returned.
        alike: For each site the first one that costs the same; what is measured of one holds for
            all of them. Missing ones are of a kind of their own.
    """

    def __init__(
        self,
        model: nn.Module,
        sites: Sequence[Site],
        work: Callable[[nn.Module], object],
        known: Mapping[str, Any] | None = None,
        *,
        alike: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.sites, self.work = model, sites, work
        self._kind = {site.name: (alike or {}).get(site.name, site.name) for site in sites}
        self._base = {site.name: _key(site.read(model)) for site in sites}
        self._seconds: dict[tuple[str, str], float] = {}
        if known:
            self.total, self.rest = known["total"], known["rest"]
            self._seconds = {(name, option): value for name, option, value in known["seconds"]}
            return
        work(model)  # kernels are chosen and caches filled once
        rounds = [site_seconds(model, sites, work) for _ in range(ROUNDS)]
        self.total = statistics.median(sum(times.values()) + rest for times, rest in rounds)
        self.rest = statistics.median(rest for _, rest in rounds)
        for kind in set(self._kind.values()):
            alike_ones = [name for name, of in self._kind.items() if of == kind]
            median = statistics.median(times[name] for times, _ in rounds for name in alike_ones)
            self._seconds[kind, self._base[kind]] = median

    def to_json(self) -> dict[str, Any]:
        """Return all that was measured, as plain data."""
        seconds = [[name, option, value] for (name, option), value in self._seconds.items()]
        return {"total": self.total, "rest": self.rest, "seconds": seconds}

    def seconds(self, site: Site, projections: Projections) -> float:
        """Return what the site takes of the work so.

        Raises:
            KeyError: It was not measured; call `measure` first.
        """
        return self._seconds[self._kind[site.name], _key(projections)]

    def measure(
        self,
        wanted: Mapping[str, Sequence[Projections]],
        build: Callable[[dict[str, int]], nn.Module],
        tell: Callable[[float], object] = lambda done: None,
    ) -> None:
        """Measure what is missing; sites that are alike share the work.

        Args:
            wanted: Ways to run each site, by its name.
            build: Makes the model in which each of these sites runs the way of this number.
            tell: Told, before each model is timed, which share is done.
        """
        offers: dict[tuple[str, str], dict[str, int]] = {}
        for name, options in wanted.items():
            for number, option in enumerate(options):
                what = self._kind[name], _key(option)
                if what not in self._seconds:
                    offers.setdefault(what, {})[name] = number
        total = len(offers)
        while offers:
            tell(1 - len(offers) / total)
            chosen: dict[str, tuple[str, str]] = {}
            for what, sites in offers.items():
                free = next((name for name in sites if name not in chosen), None)
                if free is not None:
                    chosen[free] = what
            ratios = self._ratios(build({name: offers[of][name] for name, of in chosen.items()}))
            for name, what in chosen.items():
                kind = what[0]
                self._seconds[what] = ratios[name] * self._seconds[kind, self._base[kind]]
                del offers[what]

    def _ratios(self, candidate: nn.Module) -> dict[str, float]:
        self.work(candidate)
        before, _ = site_seconds(self.model, self.sites, self.work)
        after, _ = site_seconds(candidate, self.sites, self.work)
        return {name: after[name] / max(before[name], 1e-9) for name in before}


def site_seconds(
    model: nn.Module, sites: Sequence[Site], work: Callable[[nn.Module], object]
) -> tuple[dict[str, float], float]:
    """Return the seconds that each site takes of the work, and those of all the rest."""
    spent = {site.name: 0.0 for site in sites}
    with ExitStack() as stack:
        for site in sites:
            module = site.of(model)
            timed = _timed(module.forward, site.name, spent, _synchronise(module))
            stack.enter_context(replaced(module, "forward", timed))
        began = time.perf_counter()
        work(model)
        total = time.perf_counter() - began
    return spent, max(0.0, total - sum(spent.values()))


def _key(projections: Projections) -> str:
    """What the cost depends on: unlike `str`, this tells all settings of what mixes positions."""
    geometry = projections.geometry
    return repr(geometry) if geometry.heads or geometry.mixing else str(geometry)


def _timed(
    forward: Callable[..., Any], name: str, spent: dict[str, float], finish: Callable[[], None]
) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        finish()
        began = time.perf_counter()
        result = forward(*args, **kwargs)
        finish()
        spent[name] += time.perf_counter() - began
        return result

    return run


def _synchronise(module: nn.Module) -> Callable[[], None]:
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        return torch.cuda.synchronize
    return lambda: None
