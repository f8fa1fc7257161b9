"""How the work visits sites, also where caches hold keys that no projection sees again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from heedful.allocation.sites import Site
from heedful.optimizing.operations import Usage, record_usage
from heedful.profiling._site_times import Shape


def usage_of(
    model: nn.Module,
    sites: Sequence[Site],
    work: Callable[[nn.Module], object],
    shapes: Mapping[str, Sequence[Shape]],
) -> dict[str, Usage]:
    """Return how one run of the work visits the sites.

    Args:
        model: In the form of `unfused`.
        sites: Those with heads left are watched.
        work: What is run.
        shapes: Of all calls, of the sites that can be heard: what they say of keys counts.
    """
    usage = record_usage(model, sites, [lambda: work(model)])
    return {
        name: found if name not in shapes else _corrected(found, shapes[name])
        for name, found in usage.items()
    }


def _corrected(usage: Usage, shapes: Sequence[Shape]) -> Usage:
    return replace(
        usage,
        pairs=sum(shape.batch * shape.queries * shape.keys for shape in shapes),
        longest=max((shape.keys for shape in shapes), default=0),
    )
