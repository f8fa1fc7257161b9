"""What is known of each head: how much it matters, where it looks, what its dimensions do."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from heedful.allocation.moments import Moments
from heedful.allocation.projections import Projections
from heedful.allocation.sites import Site
from heedful.metrics.rank_correlation import rank_correlation
from heedful.optimizing.importance import gate_scores, leave_one_out
from heedful.optimizing.problem import Problem, Reference
from heedful.profiling._results import Correlation, Head, KeyUse
from heedful.profiling._spectra import query_key_spectra, value_out_spectra

# Fisher, gate gradient and leave-one-out of each head; NaN where it was not left out
Scores = tuple[list[float], list[float], list[float]]


def scores_of(
    problem: Problem,
    model: nn.Module,
    sites: Sequence[Site],
    *,
    leave_out: int,
    seed: int,
    tell: Callable[[str], object],
) -> dict[str, Scores]:
    """Return what is found on the heads of each site.

    Args:
        problem: Whose heads.
        model: In the form of `unfused`.
        sites: Which ones.
        leave_out: How many heads of all are left out one by one, spread evenly.
        seed: Of the cheap scores.
        tell: Told whose heads are left out.
    """
    cheap = gate_scores(model, sites, problem, seed=seed)
    heads = {site.name: site.read(model).geometry.heads for site in sites}
    every = [(name, head) for name, number in heads.items() for head in range(number)]
    count = min(leave_out, len(every))
    chosen = {every[(2 * i + 1) * len(every) // (2 * count)] for i in range(count)}
    left = _left_out(problem, model, sites, chosen, tell) if chosen else {}
    nothing = torch.zeros(0)
    return {
        site.name: (
            cheap.fisher.get(site.name, nothing).tolist(),
            cheap.gate_gradient.get(site.name, nothing).tolist(),
            left[site.name].tolist() if site.name in left else [math.nan] * heads[site.name],
        )
        for site in sites
    }


def _left_out(
    problem: Problem,
    model: nn.Module,
    sites: Sequence[Site],
    chosen: set[tuple[str, int]],
    tell: Callable[[str], object],
) -> dict[str, Tensor]:
    reference = Reference(problem)
    found: dict[str, Tensor] = {}
    for site in sites:
        heads = sorted(head for name, head in chosen if name == site.name)
        if heads:
            tell(f"leaving out heads of {site.name}")
            found |= leave_one_out(model, [site], reference, only={site.name: heads})
    return found


def heads_of(
    projections: Projections,
    scores: Scores,
    key_uses: tuple[KeyUse, ...] | None,
    moments: Moments | None,
) -> tuple[Head, ...]:
    """Return all that is known of the heads of a site."""
    if not projections.geometry.heads:
        return ()
    query_key = query_key_spectra(projections, moments)
    value_out = value_out_spectra(projections, moments)
    return tuple(
        Head(
            fisher=scores[0][head],
            gate_gradient=scores[1][head],
            leave_one_out=None if math.isnan(scores[2][head]) else scores[2][head],
            look=None if key_uses is None else key_uses[head],
            query_key=query_key[head],
            value_out=value_out[head],
        )
        for head in range(projections.geometry.heads)
    )


def correlation(heads: Sequence[Head]) -> Correlation:
    """Return how well the cheap scores put these heads in the order of leave-one-out."""
    tried = [head for head in heads if head.leave_one_out is not None]
    if len(tried) < 2:
        return Correlation(heads=len(tried), fisher=None, gate_gradient=None)
    truth = np.array([head.leave_one_out for head in tried])
    found = {
        name: rank_correlation([getattr(head, name) for head in tried], truth)
        for name in ("fisher", "gate_gradient")
    }
    return Correlation(heads=len(tried), **found)
