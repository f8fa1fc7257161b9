"""How the work visits sites, also where caches hold keys that no projection sees again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from heedful.allocation.sites import Site
from heedful.optimizing._parts import Shape
from heedful.optimizing.operations import Visits, watch


def visits_of(
    model: nn.Module,
    sites: Sequence[Site],
    work: Callable[[nn.Module], object],
    shapes: Mapping[str, Sequence[Shape]],
) -> dict[str, Visits]:
    """Return how one run of the work visits the sites.

    Args:
        model: In the form of `separated`.
        sites: Those with heads left are watched.
        work: What is run.
        shapes: Of all calls, of the sites that can be heard: what they say of keys counts.
    """
    visits = watch(model, sites, [lambda: work(model)])
    return {
        name: found if name not in shapes else _corrected(found, shapes[name])
        for name, found in visits.items()
    }


def _corrected(visits: Visits, shapes: Sequence[Shape]) -> Visits:
    return replace(
        visits,
        pairs=sum(shape.batch * shape.queries * shape.keys for shape in shapes),
        longest=max((shape.keys for shape in shapes), default=0),
    )
