"""Whole layers left out, ever more of them, each number verified at once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from heedful.allocation.fewer_layers import why_not_without
from heedful.allocation.stacks import stacks_of, within
from heedful.bench.timing import in_turns, ratio
from heedful.optimizing.block_influence import block_influence
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Stage, Verified
from heedful.optimizing.shared_weights import share_weights
from heedful.optimizing.site_costs import SiteCosts

if TYPE_CHECKING:
    from heedful.optimizing.rounds import Search

STAGE = "layers"
TIMINGS = 3  # rounds, in turns with the original
SEED = 40_000  # of fine-tuning the first one that loses too much


def fewer_layers(search: "Search") -> Iterator[Candidate]:
    """Yield candidates with one layer less, then two, four, and so on, until one loses too much.

    Those of the least influence go first. Only models of transformers lose layers, for their
    configs say how many there are. The one that loses too much is fine-tuned where nothing else may
    be cut, as in a plain checkpoint of most classes.

    Args:
        search: Behind its free moves.

    Source:
        Men et al. 2024, arXiv:2403.03853 (ShortGPT), section 3.

    Cost:
        A pass over the calibration batches; for each candidate some five runs of the timed work and
        one of the dev split.
    """
    order = _by_influence(search)
    dropped: list[str] = []
    for number in range(1, len(order)):
        dropped = _more(search, order, dropped, 2 ** (number - 1))
        if len(dropped) < 2 ** (number - 1):
            return
        what = f"{len(dropped)} layer{'s' if len(dropped) > 1 else ''} fewer"
        candidate = search.recalled(STAGE, number)
        if candidate is None:
            search.clock.check("dev")
            search.tell(Stage(text=what))
            candidate = _without(search, dropped)
            if candidate is None:
                return
            candidate = _judged(search, candidate)
            search.remember(STAGE, number, candidate)
        search.tell(Verified(text=what, candidate=candidate))
        yield candidate
        if not candidate.promising:
            return


def droppable(model: nn.Module) -> bool:
    """Can any layer of a model of transformers be left out?"""
    return any(why_not_without(model, [layer]) is None for layer in _layers(model))


def _layers(model: nn.Module) -> list[str]:
    if not type(model).__module__.startswith("transformers."):
        return []
    return [layer for layers in stacks_of(model).values() for layer in layers]


def _by_influence(search: "Search") -> list[str]:
    """The layers that may go, those of the least influence first."""
    layers = _layers(search.problem.model)
    if not layers:
        return []
    search.tell(Stage(text="how much each layer changes"))
    model = search.problem.model
    found = block_influence(model, layers, search.problem.runs(model))
    return sorted(found, key=found.__getitem__)


def _more(search: "Search", order: Sequence[str], dropped: list[str], count: int) -> list[str]:
    """As many layers to leave out, at most half of all; fewer where no more can go."""
    model, chosen = search.problem.model, list(dropped)
    for layer in order:
        if len(chosen) == min(count, len(order) // 2):
            break
        if layer not in chosen and not why_not_without(model, [*chosen, layer]):
            chosen.append(layer)
    return chosen


def _without(search: "Search", dropped: Sequence[str]) -> Candidate | None:
    """The candidate without these layers, not judged; `None` where it costs no less."""
    problem, base = search.problem, search.base.plan
    moves = {name: made for name, made in base.moves.items() if not within(dropped, name)}
    plan = replace(base, moves=moves, dropped_layers=tuple(dropped))
    model = share_weights(plan.apply(problem.model).eval(), problem.model)
    share = _share(search, model)
    if share >= search.base.share:
        return None
    return Candidate(plan=plan, model=model, share=share, divergence=float("nan"))


def _share(search: "Search", model: nn.Module) -> float:
    problem, goal = search.problem, search.settings.goal
    if goal != "latency":
        sites = [site for site in search.sites if site.is_in(model)]
        costs = SiteCosts(goal, model, sites, search.usage, problem.work)
        return costs.whole / search.costs.whole
    runs = {
        "before": lambda: problem.work(problem.model),
        "after": lambda: problem.work(model),
    }
    times = in_turns(runs, rounds=TIMINGS)
    return 1 / ratio(times["before"], times["after"]).median


def _judged(search: "Search", candidate: Candidate) -> Candidate:
    """The candidate with its verdict, fine-tuned where it loses too much and may."""
    judged = search.judged(candidate)
    if judged.promising or search.settings.loadable != "transformers":
        return judged
    steps = search.finetuning_time.steps(search.settings.finetune_steps, share=1 / 3)
    return search.finetuned(judged, steps, SEED)
