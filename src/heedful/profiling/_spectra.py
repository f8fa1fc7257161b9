"""How many dimensions queries and keys, and values and outputs, really use."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.allocation.moments import Moments
from heedful.allocation.moves._metric import inputs, strengths
from heedful.allocation.moves.value_rank import mixed_moments
from heedful.allocation.projections import Projections
from heedful.profiling._results import Spectrum


def query_key_spectra(site: Projections, moments: Moments | None) -> list[Spectrum | None]:
    """Return for each head how the mean square of its scores is spread over dimensions.

    In the metric in which `QueryKeyRank` chooses: over the queries and keys that went through, and
    without what all scores of a query have in common. Where positions turn pairs of components,
    only pairs can go, so their parts are compared; a site that turns some components and not others
    has no such spectrum.
    """
    looking = inputs(None if moments is None else moments.query, site.query)
    context = inputs(None if moments is None else moments.context, site.key)
    query = looking.whole(site.query, site.query_bias)
    shared = [head // site.groups for head in range(len(site.query))]
    if site.rotary is None:
        key = context.varying(site.key)[shared]
        return [spectrum(energy) for energy in strengths(query, key).square()]
    if 2 * len(site.rotary.pairs) != site.geometry.dim:
        return [None] * len(site.query)
    key = context.whole(site.key, site.key_bias)[shared]
    first, second = (
        moment.diagonal(dim1=-2, dim2=-1).unflatten(1, (2, -1)).sum(1) for moment in (query, key)
    )
    return [spectrum(energy, size=2) for energy in first * second]


def value_out_spectra(site: Projections, moments: Moments | None) -> list[Spectrum]:
    """Return for each head how the mean square of what it gives is spread over dimensions.

    In the metric in which `ValueRank` chooses: of what varies in what the head mixed.
    """
    out = site.out.double()
    _, spread = mixed_moments(site, moments)
    return [spectrum(energy) for energy in strengths(out @ out.mT, spread).square()]


def spectrum(energy: Float[Tensor, " parts"], *, size: int = 1) -> Spectrum:
    """Return the spectrum of parts of the energy, in any order, of `size` dimensions each."""
    ordered = energy.double().sort(descending=True).values
    whole = ordered.sum()
    shares = ordered / whole.clamp(min=torch.finfo(torch.float64).tiny)
    grown = shares.cumsum(0)

    def needed(share: float) -> int:
        if not whole > 0:
            return 0
        wanted = share * (1 - len(shares) * torch.finfo(torch.float64).eps)
        return size * min(len(shares), int((grown < wanted).sum()) + 1)

    return Spectrum(energy=tuple(shares.tolist()), rank_90=needed(0.9), rank_99=needed(0.99))
