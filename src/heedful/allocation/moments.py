"""Second moments of what went through a site while calibration batches ran; no examples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.adapters.base import Adapter
from heedful.allocation.sites import Site


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over positions of `x x^T`, each `x` with a 1 behind it, so that means are in it too.

    Padding does not count, as far as the masks of a call say what it is.

    Args:
        query: Of the vectors that look; empty where queries are learned.
        context: Of those that are looked at: what keys are made of.
        value: Of those that values are made of; `None` where these are the same.
        mixed: Of what the heads mixed, head by head, before the output projection; `None` once the
            heads mix something else.
        rows: How many positions of `mixed` there were.
        self_attention: Did the site look at nothing but what looked? Places of two texts mean
            nothing to each other.
        causal: Was every call told that nobody sees the future?
    """

    query: Float[Tensor, "width_and_1 width_and_1"]
    context: Float[Tensor, "context_and_1 context_and_1"]
    mixed: Float[Tensor, "mixed_and_1 mixed_and_1"] | None
    rows: int
    value: Float[Tensor, "context_and_1 context_and_1"] | None = None
    self_attention: bool = False
    causal: bool = False

    @property
    def values(self) -> Float[Tensor, "context_and_1 context_and_1"]:
        """The sum for what values are made of, wherever that comes from."""
        return self.context if self.value is None else self.value


@torch.no_grad()
def collect_moments(
    model: nn.Module, sites: Sequence[Site], runs: Iterable[Callable[[], Any]]
) -> dict[str, Moments]:
    """Run the model on calibration batches and return what went through its sites.

    Args:
        model: Must be the one that `unfused` returned, or made of it.
        sites: Those with heads left are listened to.
        runs: Each lets the model run once on a batch.

    Returns:
        By the name of the site; a site that nothing ran through is missing.
    """
    sums: dict[tuple[str, str], _Sum] = {}
    pairs: dict[str, _Pair] = {}
    with ExitStack() as stack:
        for site in sites:
            if not site.read(model).geometry.heads:
                continue
            module = site.of(model)
            hook_points = site.adapter.hook_points(module)
            pairs[site.name] = pair = _Pair()
            ask = partial(_ask, pair, site.adapter)
            stack.callback(module.register_forward_pre_hook(ask, with_kwargs=True).remove)
            for name in ("query", "context"):
                handle = getattr(hook_points, name).register_forward_pre_hook(
                    partial(_keep, pair, name)
                )
                stack.callback(handle.remove)
            handle = hook_points.out.register_forward_pre_hook(partial(_compare, pair))
            stack.callback(handle.remove)
            apart = ("value",) if hook_points.value is not hook_points.context else ()
            looking = () if hook_points.learned else ("query",)
            for name in (*looking, "context", *apart, "out"):
                total = sums[site.name, name] = _Sum()
                handle = getattr(hook_points, name).register_forward_pre_hook(
                    partial(_add, total, pair, name)
                )
                stack.callback(handle.remove)
        for run in runs:
            run()
    return {
        site.name: _moments(site.name, sums, pairs[site.name])
        for site in sites
        if (site.name, "out") in sums and sums[site.name, "out"].rows
    }


class _Sum:
    """A sum that grows, in float64: a mean over many positions must not lose the rare ones."""

    def __init__(self) -> None:
        self.rows = 0
        self.sum: Tensor | None = None

    def add(self, x: Tensor) -> None:
        flat = x.detach().flatten(0, -2)
        flat = nn.functional.pad(flat.float(), (0, 1), value=1.0)
        product = (flat.T @ flat).double()
        self.sum = product if self.sum is None else self.sum + product
        self.rows += len(flat)


def _add(total: _Sum, pair: "_Pair", name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
    x, there = args[0], pair.keys if name in ("context", "value") else pair.queries
    if there is not None and x.ndim == 3 and there.shape[1] == x.shape[1]:
        x = x[there.expand(len(x), -1)]
    total.add(x)


class _Pair:
    """Whether what looks is what is looked at, and back only, in every call so far."""

    def __init__(self) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.same = True
        self.causal = True
        self.queries: Tensor | None = None  # those of this call that are no padding
        self.keys: Tensor | None = None


def _ask(
    pair: _Pair, adapter: Adapter, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    pair.causal &= adapter.looks_back(args, kwargs)
    pair.queries, pair.keys = adapter.present(args, kwargs)


def _keep(pair: _Pair, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
    pair.inputs[name] = args[0]


def _compare(pair: _Pair, module: nn.Module, args: tuple[Any, ...]) -> None:
    query, context = pair.inputs.get("query"), pair.inputs.get("context")
    pair.inputs = {}  # keeps no tensor alive
    pair.same &= query is not None and context is not None and _is(query, context)


def _is(query: Tensor, context: Tensor) -> bool:
    """The same numbers in the same place, be it through two views."""
    return query.shape == context.shape and query.data_ptr() == context.data_ptr()


def _moments(name: str, sums: Mapping[tuple[str, str], _Sum], pair: _Pair) -> Moments:
    def of(point: str) -> Tensor:
        total = sums.get((name, point))
        return torch.empty(0) if total is None or total.sum is None else total.sum

    return Moments(
        query=of("query"),
        context=of("context"),
        mixed=of("out"),
        rows=sums[name, "out"].rows,
        value=of("value") if (name, "value") in sums else None,
        self_attention=pair.same,
        causal=pair.causal,
    )
