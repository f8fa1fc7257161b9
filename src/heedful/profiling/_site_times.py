"""How the time of sites divides into projections, scores, softmax and weighted sums."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from heedful.allocation.projections import Geometry
from heedful.allocation.sites import Site
from heedful.nn.mechanisms.base import Mechanism
from heedful.optimizing.latency_table import site_seconds
from heedful.probing.probe import probe
from heedful.probing.sites import find_sites as probed_sites
from heedful.profiling.site_names import site_names

ROUNDS = 3
SHAPES = 24  # calls of a site that stand for all of them
NUMBERS = 2**24  # weights of a call that is timed; what is larger loses heads, then queries

Work = Callable[[nn.Module], object]


class Shape(NamedTuple):
    """That of the weights of one call."""

    batch: int
    heads: int
    queries: int
    keys: int


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one run of the work.

    Args:
        total: Of all of it.
        sites: Of each site.
        projections: Of the projections of each site.
    """

    total: float
    sites: dict[str, float]
    projections: dict[str, float]


def shapes_of(model: nn.Module, sites: Sequence[Site], work: Work) -> dict[str, list[Shape]]:
    """Return the shape of every call of the sites that can be heard; nothing is kept of them."""
    if not probed_sites(model)[0]:
        return {}
    with probe(model, device="meta") as heard:
        work(model)
    names = site_names(heard.sites, [site.name for site in sites])
    return {
        site: [Shape(*call.shape) for call in heard.calls(name)] for name, site in names.items()
    }


def time_sites(model: nn.Module, sites: Sequence[Site], work: Work) -> Times:
    """Return how long sites and their projections take: medians over rounds.

    Args:
        model: In the form of `unfused`.
        sites: Which ones.
        work: What is timed.
    """
    work(model)
    inner = {site.name: _projections(site, model) for site in sites}
    everything = [*sites, *(layer for layers in inner.values() for layer in layers)]
    rounds: list[tuple[dict[str, float], float]] = []
    shares: dict[str, list[float]] = {site.name: [] for site in sites}
    for _ in range(ROUNDS):
        rounds.append(site_seconds(model, sites, work))
        closely, _ = site_seconds(model, everything, work)
        for name, layers in inner.items():
            spent = sum(closely[layer.name] for layer in layers)
            shares[name].append(min(1.0, spent / max(closely[name], 1e-9)))
    spent = {
        site.name: statistics.median(times[site.name] for times, _ in rounds) for site in sites
    }
    return Times(
        total=sum(spent.values()) + statistics.median(rest for _, rest in rounds),
        sites=spent,
        projections={name: statistics.median(shares[name]) * spent[name] for name in spent},
    )


def plain_shares(
    geometry: Geometry, shapes: Sequence[Shape], like: torch.Tensor
) -> tuple[float, float, float] | None:
    """Return how plain torch divides its time between scores, softmax and weighted sums.

    Kernels do all three in one pass, so nothing but the sum can be measured in the work itself.

    Args:
        geometry: Of the site.
        shapes: Of its calls; `SHAPES` of them are timed.
        like: A tensor with the dtype and the device of the work.
    """
    if geometry.mixing is not None or not shapes:
        return None
    ordered = sorted(shapes, key=lambda shape: shape.queries * shape.keys)
    count = min(SHAPES, len(ordered))
    chosen = [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]
    seconds = [0.0, 0.0, 0.0]
    for shape, times in Counter(chosen).items():
        for part, spent in enumerate(_plain(geometry, _smaller(shape), like)):
            seconds[part] += times * spent
    whole = max(sum(seconds), 1e-12)
    return seconds[0] / whole, seconds[1] / whole, seconds[2] / whole


def _projections(site: Site, model: nn.Module) -> list[Site]:
    """The linear layers inside a site, whatever their library calls them."""
    module = site.of(model)
    own = [name for name, part in module.named_modules() if isinstance(part, Mechanism)]
    found: list[Site] = []
    for name, layer in module.named_modules():
        weight = getattr(layer, "weight", None)
        linear = isinstance(weight, torch.Tensor) and weight.ndim == 2
        of_mechanism = any(name == part or name.startswith(f"{part}.") for part in own)
        if linear and not isinstance(layer, nn.Embedding) and not of_mechanism:
            found.append(Site(f"{site.name}.{name}", site.adapter))
    return found


def _smaller(shape: Shape) -> Shape:
    deep = max(1, min(shape.batch * shape.heads, NUMBERS // max(1, shape.queries * shape.keys)))
    high = max(1, min(shape.queries, NUMBERS // max(1, shape.keys)))
    return Shape(1, deep, high, shape.keys)


@torch.inference_mode()
def _plain(geometry: Geometry, shape: Shape, like: torch.Tensor) -> list[float]:
    def draw(*sizes: int) -> torch.Tensor:
        return torch.randn(shape.heads, *sizes, dtype=like.dtype, device=like.device)

    query, key = draw(shape.queries, geometry.dim), draw(shape.keys, geometry.dim)
    value = draw(shape.keys, geometry.value_dim)
    scores = query @ key.mT
    weights = scores.softmax(-1)
    steps = (lambda: query @ key.mT, lambda: scores.softmax(-1), lambda: weights @ value)
    found: list[float] = []
    for step in steps:
        rounds: list[float] = []
        for _ in range(ROUNDS + 1):
            _finish(like)
            began = time.perf_counter()
            step()
            _finish(like)
            rounds.append(time.perf_counter() - began)
        found.append(statistics.median(rounds[1:]))  # the first one chooses kernels
    return found


def _finish(like: torch.Tensor) -> None:
    if like.is_cuda:
        torch.cuda.synchronize(like.device)
