"""The ways in which each site of a model could be run, what they cost and what they break."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from heedful.allocation.moves import Move
from heedful.allocation.plan import Plan
from heedful.allocation.projections import Projections
from heedful.allocation.seen import Seen, look
from heedful.allocation.sites import Site
from heedful.errors import UnsupportedError
from heedful.optimizing.importance import fisher
from heedful.optimizing.level import Level, pareto
from heedful.optimizing.operations import Visits
from heedful.optimizing.options import options
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.spending import Spending
from heedful.optimizing.subject import Reference, Subject

NOTHING_LEFT = 2  # times the damage of others: where nothing is left, nothing learns


@dataclass(frozen=True)
class Way:
    """One way to run a site: the moves that lead to it, and the projections that come out.

    Args:
        label: For people.
        moves: In their order.
        projections: After them.
        fitted: Were the projections fitted to what the site gave, since the moves alone give
            something that says nothing yet?
    """

    label: str
    moves: tuple[Move, ...]
    projections: Projections
    fitted: bool = False


@dataclass(frozen=True, kw_only=True)
class Ways:
    """All ways to run each site of one model; the first leaves it as it is.

    Args:
        model: In the form of `separated`.
        seen: What went through its sites.
        sites: Those that something went through.
        of: The ways of each site, by its name and in the order of `sites`.
    """

    model: nn.Module
    seen: Mapping[str, Seen]
    sites: Sequence[Site]
    of: Mapping[str, Sequence[Way]]

    @property
    def any(self) -> bool:
        """Is there anything to change?"""
        return any(len(ways) > 1 for ways in self.of.values())

    def build(self, moves: Mapping[str, tuple[Move, ...]]) -> nn.Module:
        """Return the model after these moves."""
        new = Plan(moves=moves).apply(self.model, self.seen)
        for site in self.sites:
            for way in self.of[site.name]:
                if way.fitted and way.moves == moves.get(site.name):
                    site.write(new, way.projections)
        return new

    def measure(self, spending: Spending) -> None:
        """Make sure that every way has a cost."""

        def build(chosen: Mapping[str, int]) -> nn.Module:
            moves = {name: self.of[name][number].moves for name, number in chosen.items()}
            return self.build({name: made for name, made in moves.items() if made})

        wanted = {name: [way.projections for way in ways] for name, ways in self.of.items()}
        spending.measure(wanted, build)

    def table(
        self, spending: Spending, reference: Reference, tell: Callable[[float], object]
    ) -> list[list[Level]]:
        """Return the levels of each site that are worth a choice, the one as it is first.

        Their damage is `lasting`: that of a way alone, beyond that of the model as it is.

        Args:
            spending: Has measured them.
            reference: Tells the damage.
            tell: Told which share is done.
        """
        base = reference.damage(self.model)
        done, total = 0, sum(len(ways) for ways in self.of.values())
        table: list[list[Level]] = []
        for site in self.sites:
            levels: list[Level] = []
            for way in self.of[site.name]:
                damage = 0.0
                if way.moves:
                    damage = lasting(reference.damage(self.build({site.name: way.moves})) - base)
                    if not way.projections.geometry.heads:
                        damage *= NOTHING_LEFT
                cost = spending.planned(site, way.projections)
                levels.append(Level(label=way.label, cost=cost, damage=damage, moves=way.moves))
                done += 1
                tell(done / total)
            # the level that changes nothing stays the first, whatever beats it
            table.append([levels[0], *(levels[i] for i in pareto(levels) if i)])
        return table


def lasting(damage: float) -> float:
    """Return what healing leaves of a damage, up to a factor: its root.

    Of 27 changes of a translator, each healed for 120 steps, a large damage at one site kept far
    less of itself than small ones at many: those from 0.03 to 2.7 nats kept 0.06 times their root.
    """
    return math.sqrt(max(0.0, damage))


def find_ways(
    model: nn.Module,
    sites: Sequence[Site],
    subject: Subject,
    visits: Mapping[str, Visits],
    *,
    seed: int,
) -> Ways:
    """Return every option that turns out to be possible, at every site that is used.

    Args:
        model: In the form of `separated`.
        sites: All that may be changed.
        subject: Whose calibration batches are run.
        visits: How the original's sites are visited.
        seed: Of the scores.
    """
    seen = look(model, sites, subject.runs(model))
    used = [site for site in sites if site.name in seen]
    scores = fisher(model, used, subject, seed=seed)
    found: dict[str, Sequence[Way]] = {}
    for site in used:
        here = site.read(model)
        proposed = options(here.geometry, scores[site.name], visits.get(site.name, Visits()))
        ways = [_way(site, model, label, moves, seen[site.name]) for label, moves in proposed]
        made = [_fitted(way, site, model, subject) for way in ways if way is not None]
        found[site.name] = [Way("as it is", (), here), *_mendable(made)]
    return Ways(model=model, seen=seen, sites=used, of=found)


def _mendable(ways: list[Way]) -> list[Way]:
    """Without dropping the site where a recurrence can stand there: it costs nearly as little.

    Of a translator's changes, healed for 2,000 steps, dropped sites were what did not recover.
    """
    if not any(way.projections.gate is not None for way in ways):
        return ways
    return [way for way in ways if way.projections.geometry.heads]


def _fitted(way: Way, site: Site, model: nn.Module, subject: Subject) -> Way:
    """What mixes without looking starts from nothing: least squares tell what it could be."""
    if way.projections.gate is None or site.read(model).gate is not None:
        return way
    changed = Plan(moves={site.name: way.moves}).apply(model)
    reconstruct(changed, model, [site], subject)
    return replace(way, projections=site.read(changed), fitted=True)


def _way(site: Site, model: nn.Module, label: str, moves: Sequence[Move], seen: Seen) -> Way | None:
    projections, known = site.read(model), seen
    made: list[Move] = []
    try:
        for move in moves:
            chosen = move.resolved(projections, known)
            projections = chosen.edit(projections, known)
            known = replace(known, mixed=None)
            made.append(chosen)
    except UnsupportedError:
        return None
    if site.refuses(model, projections) is not None:
        return None
    return Way(label, tuple(made), projections)
