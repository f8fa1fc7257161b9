"""The ways in which each site of a model could be run, what they cost and what they break."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from torch import Tensor, nn

from heedful.allocation.moments import Moments, collect_moments
from heedful.allocation.moves import Move
from heedful.allocation.moves.named import name_of
from heedful.allocation.plan import Plan
from heedful.allocation.projections import Projections
from heedful.allocation.sites import Site
from heedful.allocation.stock import drop_biases
from heedful.errors import UnsupportedError
from heedful.optimizing.compression_levels import Assignment, CompressionLevel, Table, pareto
from heedful.optimizing.importance import fisher
from heedful.optimizing.operations import Usage
from heedful.optimizing.problem import Problem, Reference
from heedful.optimizing.proposals import propose
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.site_costs import SiteCosts

SCREENED = 2  # batches that tell ways apart; what is chosen is judged on all, and on the dev split
NOTHING_LEFT = 2  # times the divergence of others: where nothing is left, nothing learns


@dataclass(frozen=True)
class SiteOption:
    """One way to run a site: the moves that lead to it, and the projections that come out.

    Args:
        label: For people.
        moves: In their order.
        projections: After them; without numbers, unless they were fitted.
        fitted: Were the projections fitted to what the site gave, since the moves alone give
            something that says nothing yet?
    """

    label: str
    moves: tuple[Move, ...]
    projections: Projections
    fitted: bool = False


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """All ways to run each site of one model; the first leaves it as it is.

    Args:
        model: In the form of `unfused`.
        moments: What went through its sites.
        sites: Those that something went through.
        of: The ways of each site, by its name and in the order of `sites`.
        together: Must all sites go the same way, and have a bias only where they had one?
    """

    model: nn.Module
    moments: Mapping[str, Moments]
    sites: Sequence[Site]
    of: Mapping[str, Sequence[SiteOption]]
    together: bool = False

    @property
    def groups(self) -> list[list[Site]]:
        """Sites that go the same way; the ways of all in a group stand in the same order."""
        return [list(self.sites)] if self.together else [[site] for site in self.sites]

    @property
    def any(self) -> bool:
        """Is there anything to change?"""
        return any(len(options) > 1 for options in self.of.values())

    def build(self, moves: Mapping[str, tuple[Move, ...]]) -> nn.Module:
        """Return the model after these moves."""
        new = Plan(moves=moves).apply(self.model, self.moments)
        if self.together:
            drop_biases(new, {name for name, _ in self.model.named_parameters()})
        for site in self.sites:
            for option in self.of[site.name]:
                if option.fitted and option.moves == moves.get(site.name):
                    site.write(new, option.projections)
        return new

    def moves_of(self, assignment: Assignment, table: Table) -> dict[str, tuple[Move, ...]]:
        """Return the moves of an assignment, by site; a site that stays as it is has none.

        Args:
            assignment: The level of each group.
            table: The levels of each group.
        """
        found: dict[str, tuple[Move, ...]] = {}
        for group, levels, index in zip(self.groups, table, assignment, strict=True):
            if index:
                moves = cast(tuple[tuple[Move, ...], ...], levels[index].moves)
                found |= {site.name: made for site, made in zip(group, moves, strict=True)}
        return found

    def measure(
        self, site_costs: SiteCosts, tell: Callable[[float], object] = lambda done: None
    ) -> None:
        """Make sure that every way has a cost; `tell` is told which share is done."""

        def build(chosen: Mapping[str, int]) -> nn.Module:
            moves = {name: self.of[name][number].moves for name, number in chosen.items()}
            return self.build({name: made for name, made in moves.items() if made})

        wanted = {
            name: [option.projections for option in options] for name, options in self.of.items()
        }
        site_costs.measure(wanted, build, tell)

    def table(
        self, site_costs: SiteCosts, reference: Reference, tell: Callable[[float], object]
    ) -> list[list[CompressionLevel]]:
        """Return the levels of each group that are worth a choice, the one as it is first.

        Their divergence is `residual_divergence`: that of a way alone, beyond that of the model as
        it is, on `SCREENED` batches. What costs no less than the site as it is, is left
        out unseen.

        Args:
            site_costs: Has measured them.
            reference: Tells the divergence.
            tell: Told which share is done.
        """
        base = reference.divergence(self.model, batches=SCREENED)
        done, total = 0, sum(len(self.of[group[0].name]) for group in self.groups)
        table: list[list[CompressionLevel]] = []
        for group in self.groups:
            levels: list[CompressionLevel] = []
            for options in zip(*(self.of[site.name] for site in group), strict=True):
                pairs = list(zip(group, options, strict=True))
                cost = sum(site_costs.planned(site, each.projections) for site, each in pairs)
                done += 1
                if levels and cost >= levels[0].cost:
                    continue
                moves = tuple(each.moves for each in options)
                divergence = 0.0
                if any(moves):
                    changed = self.build({site.name: each.moves for site, each in pairs})
                    divergence = residual_divergence(
                        reference.divergence(changed, batches=SCREENED) - base
                    )
                    if not all(each.projections.geometry.heads for each in options):
                        divergence *= NOTHING_LEFT
                label = options[0].label
                levels.append(
                    CompressionLevel(label=label, cost=cost, divergence=divergence, moves=moves)
                )
                tell(done / total)
            # the level that changes nothing stays the first, whatever beats it
            table.append([levels[0], *(levels[i] for i in pareto(levels) if i)])
        return table


def residual_divergence(divergence: float) -> float:
    """Return what fine-tuning leaves of a divergence, up to a factor: its root.

    Of 27 changes of a translator, each fine-tuned for 120 steps, a large divergence at one site
    kept far
    less of itself than small ones at many: those from 0.03 to 2.7 nats kept 0.06 times their root.
    """
    return math.sqrt(max(0.0, divergence))


def residual_of(assignment: Assignment, table: Table, divergence: float) -> float:
    """Return what fine-tuning leaves of an assignment, whose divergence need not be the sum.

    Args:
        assignment: The level of each site.
        table: The levels of each site.
        divergence: Of all of it at once.
    """
    alone = [levels[index].divergence for levels, index in zip(table, assignment, strict=True)]
    whole, left = math.hypot(*alone), residual_divergence(divergence)
    return sum(alone) * left / whole if whole else left


def find_options(
    model: nn.Module,
    sites: Sequence[Site],
    problem: Problem,
    usage: Mapping[str, Usage],
    *,
    seed: int,
    plain: bool = False,
) -> SiteOptions:
    """Return every option that turns out to be possible, at every site that is used.

    Args:
        model: In the form of `unfused`.
        sites: All that may be changed.
        problem: Whose calibration batches are run.
        usage: How the original's sites are visited.
        seed: Of the scores.
        plain: Only those in which heads attend by dot products, in the precision that there is.
    """
    moments = collect_moments(model, sites, problem.runs(model))
    used = [site for site in sites if site.name in moments]
    scores = fisher(model, used, problem, seed=seed)
    found: dict[str, Sequence[SiteOption]] = {}
    for site in used:
        here = site.read(model)
        proposed = propose(here.geometry, scores[site.name], usage.get(site.name, Usage()))
        proposed += [(name_of(move), (move,)) for move in problem.moves]
        options = [
            _option(site, model, label, moves, moments[site.name]) for label, moves in proposed
        ]
        possible = [option for option in options if option and (_is_plain(option) or not plain)]
        made = [_fitted(option, site, model, problem) for option in possible]
        found[site.name] = [SiteOption("as it is", (), _outline(here)), *_mendable(made)]
    return SiteOptions(model=model, moments=moments, sites=used, of=found)


def _is_plain(option: SiteOption) -> bool:
    projections = option.projections
    plain = projections.mixing is None and projections.gate is None
    return plain and projections.precision is None and bool(projections.geometry.heads)


def _mendable(options: list[SiteOption]) -> list[SiteOption]:
    """Without dropping the site where a recurrence can stand there: it costs nearly as little.

    Of a translator's changes, fine-tuned for 2,000 steps, dropped sites were what did not recover.
    """
    if not any(option.projections.gate is not None for option in options):
        return options
    return [option for option in options if option.projections.geometry.heads]


def _fitted(option: SiteOption, site: Site, model: nn.Module, problem: Problem) -> SiteOption:
    """What mixes without looking starts from nothing: least squares tell what it could be."""
    if option.projections.gate is None or site.read(model).gate is not None:
        return option
    changed = Plan(moves={site.name: option.moves}).apply(model)
    reconstruct(changed, model, [site], problem)
    return replace(option, projections=site.read(changed), fitted=True)


def _option(
    site: Site, model: nn.Module, label: str, moves: Sequence[Move], moments: Moments
) -> SiteOption | None:
    projections, known = site.read(model), moments
    made: list[Move] = []
    try:
        for move in moves:
            chosen = move.resolved(projections, known)
            projections = chosen.edit(projections, known)
            known = replace(known, mixed=None)
            made.append(chosen)
    except UnsupportedError:
        return None
    if site.why_not(model, projections) is not None:
        return None
    return SiteOption(label, tuple(made), _outline(projections))


def _outline(projections: Projections) -> Projections:
    """The same without its numbers, which the moves make anew: all ways at once would be many."""
    tensors = {
        each.name: value.to("meta")
        for each in fields(projections)
        if isinstance(value := getattr(projections, each.name), Tensor)
    }
    return replace(projections, **tensors)
