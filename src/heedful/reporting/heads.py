"""The heads of a model while it answers: maps of one example, and numbers over some."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.errors import HeedfulError
from heedful.explaining.question import NOWHERE
from heedful.probing.call import ProbedCall
from heedful.probing.probe import Probe, probe
from heedful.probing.sharpness import sharpness
from heedful.probing.statistics import Statistics
from heedful.profiling.site_names import site_names
from heedful.report.run_page.data import Atlas, Head, Look, SinkKind
from heedful.reporting.examples import cut, fields_of
from heedful.reporting.tiles import tiles_of
from heedful.training.run import Run

Heads = dict[tuple[str, int], Head]
Axes = tuple[tuple[str, ...], tuple[str, ...]]


def atlas_of(
    run: Run,
    smaller: Run | None,
    examples: Sequence[Any],
    importance: Mapping[str, Sequence[float]],
) -> Atlas:
    """Return every head of a run, and what became of it.

    Args:
        run: The run.
        smaller: What optimising made of it.
        examples: That are answered, at least one. Maps are of the first.
        importance: Of each head, by site.

    Cost:
        The models answer the examples, and the first of them once more.
    """
    if not examples:
        return Atlas()
    before, atlas = _heads(run, examples)
    heads = _with_importance(before, importance)
    if smaller is not None:
        after, _ = _heads(smaller, examples)
        heads = _paired(heads, after, smaller)
    return replace(atlas, heads=tuple(heads.values()))


def kept_heads(smaller: Run) -> dict[str, tuple[int, ...] | None]:
    """Return the heads that a plan leaves at each site that it names; `None`: it has no such heads.

    Heads are numbered as the original has them.
    """
    plan = smaller.plan
    found: dict[str, tuple[int, ...] | None] = {}
    for site, moves in ({} if plan is None else plan.moves).items():
        kept: tuple[int, ...] | None = ()
        some = False
        for move in moves:
            if isinstance(move, DropSite):
                kept, some = (), True
            elif isinstance(move, KeepHeads):
                kept = tuple(kept[head] for head in move.heads) if some and kept else move.heads
                some = True
        found[site] = kept if some else None
    return found


def _heads(run: Run, examples: Sequence[Any]) -> tuple[Heads, Atlas]:
    task, model = run.task, run.model
    try:
        many = _probed(run, examples)
        numbers, sinks = many.statistics(), many.sinks()
        sharp = {site: _sharpness(many.calls(site)) for site in numbers}
        one = _probed(run, examples[:1])
    except HeedfulError as error:  # nothing there that a probe can hear
        return {}, Atlas(unobservable={"model": str(error)})
    heads: Heads = {}
    errors: list[float] = []
    for site, found in numbers.items():
        if site not in one.sites:
            continue
        try:
            tiles = tiles_of(one, site)
        except HeedfulError:
            continue
        errors += [] if found.error is None else [found.error]
        for head, sink in enumerate(sinks[site].kinds):
            heads[site, head] = Head(
                site=site,
                number=head,
                before=_look(found, head, sink or "", sharp[site]),
                tile=tiles[min(head, len(tiles) - 1)],
            )
    with torch.inference_mode():
        answer = task.answer(model, task.encode(examples[:1]))[0]
    atlas = Atlas(
        tokens=_tokens(run, examples[0], answer),
        examples=len(examples),
        title=cut("; ".join(fields_of(examples[0]).values())),
        error=max(errors, default=None),
        unobservable=many.unobservable,
    )
    return heads, atlas


def _probed(run: Run, examples: Sequence[Any]) -> Probe:
    with torch.inference_mode(), probe(run.model) as found:
        run.task.answer(run.model, run.task.encode(examples))
    return found


def _look(found: Statistics, head: int, sink: SinkKind, sharp: Tensor) -> Look:
    def number(values: Tensor) -> float:
        return float(values[head]) if head < len(values) else math.nan

    return Look(
        entropy=number(found.normalised_entropy),
        keys=number(found.effective_keys),
        first=number(found.sink_mass),
        distance=number(found.distance),
        sink=sink,
        sharpness=tuple(sharp[:, head].tolist()) if head < sharp.shape[1] else (),
    )


def _sharpness(calls: Sequence[ProbedCall]) -> Tensor:
    """The largest weights among n, 2n and 4n keys, `(3, heads)`."""
    pairs = [(call.weights, call.shown) for call in calls]
    return sharpness(pairs, heads=len(calls[0].shown)).top


def _with_importance(heads: Heads, importance: Mapping[str, Sequence[float]]) -> Heads:
    names = site_names(_sites(heads), list(importance))

    def scored(head: Head) -> Head:
        scores = importance.get(names.get(head.site, ""), ())
        known = head.number < len(scores)
        return replace(head, importance=float(scores[head.number])) if known else head

    return {place: scored(head) for place, head in heads.items()}


def _paired(before: Heads, after: Heads, smaller: Run) -> Heads:
    """Each head with what became of it; those that the plan took are marked."""
    kept = kept_heads(smaller)
    names = site_names(_sites(before), list(kept))
    new = set(_sites(after))
    found: Heads = {}
    for (site, number), head in before.items():
        left = kept.get(names.get(site, ""))
        place: int | None = number
        if left is not None:
            place = left.index(number) if number in left else None
        elif site not in new:  # something without heads stands there
            place = None
        then = None if place is None else after.get((site, place))
        removed = left is not None and place is None
        found[site, number] = replace(
            head,
            removed=removed or (site not in new and names.get(site, "") in kept),
            after=None if then is None else then.before,
            tile_after=None if then is None else then.tile,
        )
    return found


def _sites(heads: Iterable[tuple[str, int]]) -> list[str]:
    return list(dict.fromkeys(site for site, _ in heads))


def _tokens(run: Run, example: Any, answer: Any) -> dict[str, Axes]:
    """What stands at the rows and the columns of each site's map, where the task can say it."""
    try:
        asked = run.task.question(run.model, example, answer)
    except HeedfulError:
        return {}
    route = asked.route
    if route is None:
        return {}
    names = {
        sequence: tuple("·" if place == NOWHERE else asked.pieces[place] for place in places)
        for sequence, places in route.places.items()
    }
    answered = asked.targets if route.rows is None or len(asked.targets) > 1 else ()
    return {
        step.site: (names.get(step.queries, answered), names.get(step.keys, ()))
        for step in route.steps
    }
