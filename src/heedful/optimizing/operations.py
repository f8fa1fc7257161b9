"""How many multiply-adds attention takes: what explains a cost, but does not stand for it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from heedful.allocation.projections import Geometry
from heedful.allocation.sites import Site
from heedful.nn.compact import numbers_of


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How often a site was called, and with how much, summed over calls.

    Args:
        queries: Vectors that looked.
        context: Vectors that were looked at and projected.
        pairs: Queries times keys, as if every query saw every key.
        longest: Most keys of a call.
        own: Did every call look at the very vectors that looked?
    """

    queries: int = 0
    context: int = 0
    pairs: int = 0
    longest: int = 0
    own: bool = True


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Multiply-adds of one site, part by part."""

    projections: float
    scores: float
    aggregation: float

    @property
    def total(self) -> float:
        """All parts together."""
        return self.projections + self.scores + self.aggregation


def operations(geometry: Geometry, usage: Usage) -> Operations:
    """Return the multiply-adds of a site of this geometry for these calls.

    What masks hide counts as if it were computed; what windows and the like hide does not.
    """
    g = geometry
    seen = usage.pairs * visible_share(g, usage.longest)
    return Operations(
        projections=float(usage.queries * g.looking + usage.context * g.looked_at),
        scores=float(seen * g.heads * g.dim),
        aggregation=float(seen * g.heads * g.value_dim),
    )


def visible_share(geometry: Geometry, keys: int) -> float:
    """Return which share of the pairs a mechanism computes at this length."""
    if geometry.mixing is None or not keys:
        return 1.0
    settings = geometry.mixing.settings
    if geometry.mixing.name == "window":
        wide = settings["window"] + settings.get("ahead", 0) + settings.get("sinks", 0)
        return min(1.0, wide / keys)
    if geometry.mixing.name == "gated_recurrence":
        return 1 / keys
    if geometry.mixing.name == "hedgehog":
        return min(1.0, 2 * geometry.dim / keys)
    return 1.0


def parameters(model: nn.Module) -> int:
    """Return how many numbers a model learned; shared ones count once."""
    return numbers_of(model)


@torch.inference_mode()
def record_usage(
    model: nn.Module, sites: Sequence[Site], runs: Sequence[Callable[[], Any]]
) -> dict[str, Usage]:
    """Return how the sites of a model are visited while it runs.

    Args:
        model: In the form of `unfused`, batches first.
        sites: Those with heads left are watched.
        runs: Each lets the model run once.
    """
    calls: dict[str, dict[str, list[_Call]]] = {}
    with ExitStack() as stack:
        for site in sites:
            if not site.read(model).geometry.heads:
                continue
            hook_points = site.adapter.hook_points(site.of(model))
            heard = calls[site.name] = {"query": [], "context": []}
            for name in heard:
                handle = getattr(hook_points, name).register_forward_pre_hook(
                    partial(_note, heard[name])
                )
                stack.callback(handle.remove)
        for run in runs:
            run()
    return {name: _usage(heard["query"], heard["context"]) for name, heard in calls.items()}


def total_operations(model: nn.Module, sites: Sequence[Site], usage: Mapping[str, Usage]) -> float:
    """Return the multiply-adds of all sites that a model has left, for these visits."""
    return sum(
        operations(site.read(model).geometry, usage[site.name]).total
        for site in sites
        if site.name in usage and site.is_in(model)
    )


class _Call(NamedTuple):
    """What of an input counts, so that no tensor is kept."""

    vectors: int
    length: int
    place: tuple[int, torch.Size]


def _note(heard: list[_Call], module: nn.Module, args: tuple[Any, ...]) -> None:
    x: torch.Tensor = args[0]
    heard.append(_Call(x.numel() // x.shape[-1], x.shape[-2], (x.data_ptr(), x.shape)))


def _usage(queries: list[_Call], contexts: list[_Call]) -> Usage:
    calls = list(zip(queries, contexts, strict=False))
    return Usage(
        queries=sum(query.vectors for query in queries),
        context=sum(context.vectors for context in contexts),
        pairs=sum(query.vectors * context.length for query, context in calls),
        longest=max((context.length for context in contexts), default=0),
        own=all(query.place == context.place for query, context in calls),
    )
