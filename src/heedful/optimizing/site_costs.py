"""What each site costs, in the unit of the goal: one number for every way to run a site."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from heedful.allocation.projections import Geometry, Projections
from heedful.allocation.sites import Site
from heedful.optimizing.latency_table import LatencyTable
from heedful.optimizing.operations import Usage, operations, parameters
from heedful.optimizing.settings import Goal

BYTES = 4  # of a number, in weights and in caches alike
PROPORTIONAL = 1 / 2  # of a planned latency


class SiteCosts:
    """Costs of sites; what is measured is measured once.

    Args:
        goal: The unit: seconds, bytes or multiply-adds.
        model: The original, in the form of `unfused`.
        sites: All that may be changed.
        usage: How the calibration batches visit them.
        work: What is timed.
        known: What was measured before, as `to_json` of the table says it.
    """

    def __init__(
        self,
        goal: Goal,
        model: nn.Module,
        sites: Sequence[Site],
        usage: Mapping[str, Usage],
        work: Callable[[nn.Module], object],
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self.goal, self.usage = goal, usage
        alike = kinds_of_sites(model, sites, usage)
        self.table: LatencyTable | None = None
        if goal == "latency":
            self.table = LatencyTable(model, sites, work, known, alike=alike)
        self.rest = self._rest(model, sites)
        self.original = {site.name: site.read(model) for site in sites}
        self.whole = self.rest + sum(self.of(site, self.original[site.name]) for site in sites)

    def of(self, site: Site, projections: Projections) -> float:
        """Return what the site costs so; a latency must have been measured before."""
        if self.table is not None:
            return self.table.seconds(site, projections)
        usage = self.usage.get(site.name, Usage())
        if self.goal == "memory":
            return _memory(projections.geometry, usage)
        return operations(projections.geometry, usage).total

    def planned(self, site: Site, projections: Projections) -> float:
        """Return the cost to plan with: half of it measured, half in step with the multiply-adds.

        Small sites cost calls more than arithmetic, so half the heads save far less than half the
        time; all of it is saved where the last one goes. A search that saw measured costs alone
        would never begin on the way there.
        """
        measured = self.of(site, projections)
        if self.table is None:
            return measured
        usage = self.usage.get(site.name, Usage())
        original = self.original[site.name]
        whole = max(1.0, operations(original.geometry, usage).total)
        share = operations(projections.geometry, usage).total / whole
        return (1 - PROPORTIONAL) * measured + PROPORTIONAL * share * self.of(site, original)

    def share(self, model: nn.Module, sites: Sequence[Site]) -> float:
        """Return what a model costs as a share of the original; it must have been measured."""
        left = [site for site in sites if site.is_in(model)]
        return (self.rest + sum(self.of(site, site.read(model)) for site in left)) / self.whole

    def measure(
        self,
        wanted: Mapping[str, Sequence[Projections]],
        build: Callable[[dict[str, int]], nn.Module],
        tell: Callable[[float], object] = lambda done: None,
    ) -> None:
        """Make sure that these ways to run sites have a cost; see `LatencyTable.measure`."""
        if self.table is not None:
            self.table.measure(wanted, build, tell)

    def _rest(self, model: nn.Module, sites: Sequence[Site]) -> float:
        if self.table is not None:
            return self.table.rest
        if self.goal == "memory":
            geometries = [site.read(model).geometry for site in sites]
            own = sum(geometry.looking + geometry.looked_at for geometry in geometries)
            return float(max(0, parameters(model) - own) * BYTES)
        return 0.0


def kinds_of_sites(
    model: nn.Module, sites: Sequence[Site], usage: Mapping[str, Usage]
) -> dict[str, str]:
    """Return, for each site, the first one that is the same and is used the same: costs are equal.

    Args:
        model: That holds the sites.
        sites: By their names.
        usage: How each is visited.
    """
    first: dict[tuple[str, str, Usage | None], str] = {}
    found: dict[str, str] = {}
    for site in sites:
        kind = type(site.of(model)).__qualname__
        what = kind, repr(site.read(model).geometry), usage.get(site.name)
        found[site.name] = first.setdefault(what, site.name)
    return found


def _memory(geometry: Geometry, usage: Usage) -> float:
    kept = 0 if geometry.gates else usage.context  # a recurrence keeps one state of each text
    cached = kept * geometry.kv_heads * (geometry.dim + geometry.value_dim)
    return float((geometry.looking + geometry.looked_at + cached) * BYTES)
