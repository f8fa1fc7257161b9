"""Dispersion: how far each head spreads its attention, and where it sinks, in plain numbers."""

import math
from dataclasses import asdict, dataclass
from typing import Any, cast

from torch import Tensor

from heedful.probing.call import ProbedCall
from heedful.probing.probe import Probe
from heedful.probing.sharpness import Sharpness, sharpness
from heedful.probing.sinks import SinkKind, Sinks
from heedful.probing.statistics import Statistics

# As many keys, by TIMES; `None` where nothing can be told
AtLengths = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class HeadDispersion:
    """How one head spreads its attention; `None` where nothing can be told.

    Args:
        site: Of the head.
        head: Its number.
        entropy: In nats, a mean over queries as the next ones; see `Statistics`.
        normalised_entropy: 1 is even, 0 one key alone.
        effective_keys: `exp` of the entropy.
        sink_mass: Share of all attention that goes to the key that gets most; see `Sinks`.
        sink_key: Where in the text that key is, mostly.
        sink_kind: What the head does there; `None` also where no key is a sink.
        value_norm: Of the value there, over the mean norm of the others.
        output_rank: Of what the head writes.
        distance: How many keys away a query looks, in the mean; `None` where it looks at another
            text.
        top: The largest weight among n, 2n and 4n keys; see `Sharpness`.
        top_keys: The effective keys among as many.
        largest_score: Of those that go into the softmax.
    """

    site: str
    head: int
    entropy: float | None
    normalised_entropy: float | None
    effective_keys: float | None
    sink_mass: float | None
    sink_key: int | None
    sink_kind: SinkKind | None
    value_norm: float | None
    output_rank: float | None
    distance: float | None
    top: AtLengths
    top_keys: AtLengths
    largest_score: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        plain = asdict(self)
        return plain | {"top": list(self.top), "top_keys": list(self.top_keys)}


def dispersion_of(probe: Probe) -> list[HeadDispersion]:
    """Return how the heads of all sites that were called spread their attention.

    Raises:
        UnsupportedError: The calls of a site have different heads.

    Cost:
        Six passes over the weights of all calls, block by block: `Statistics`, `Sinks` and, four
        of them, `Sharpness`.
    """
    numbers, sunk = probe.statistics(ordered=1), probe.sinks()
    found: list[HeadDispersion] = []
    for site in numbers:
        calls = probe.calls(site)
        pairs = [(call.weights, call.shown) for call in calls]
        sharp = sharpness(pairs, heads=len(calls[0].shown))
        found += _of_site(site, calls[0], numbers[site], sunk[site], sharp)
    return found


def _of_site(
    site: str, call: ProbedCall, numbers: Statistics, sunk: Sinks, sharp: Sharpness
) -> list[HeadDispersion]:
    kinds = sunk.kinds
    return [
        HeadDispersion(
            site=site,
            head=head,
            entropy=_number(numbers.entropy[place]),
            normalised_entropy=_number(numbers.normalised_entropy[place]),
            effective_keys=_number(numbers.effective_keys[place]),
            sink_mass=_number(sunk.mass[place]),
            sink_key=int(sunk.place[place]) if sunk.texts[place] else None,
            sink_kind=kinds[place],
            value_norm=_number(sunk.value_norm[place]),
            output_rank=_number(sunk.output_rank[place]),
            distance=_number(numbers.distance[place]),
            top=_at_lengths(sharp.top[:, place]),
            top_keys=_at_lengths(sharp.effective_keys[:, place]),
            largest_score=_number(sharp.largest_score[place]),
        )
        for place, head in enumerate(call.heads)
    ]


def _at_lengths(values: Tensor) -> AtLengths:
    return cast(AtLengths, tuple(map(_number, values)))


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
