"""Which ways to spend less are worth a try at a site."""

from collections.abc import Iterator, Sequence
from typing import get_args

from torch import Tensor

from heedful.allocation.moves import (
    DropSite,
    KeepHeads,
    LowPrecision,
    Move,
    QueryKeyRank,
    Recurrence,
    ShareKeyValue,
    ValueRank,
    Window,
)
from heedful.allocation.precision import WIDE
from heedful.allocation.projections import Geometry
from heedful.nn.low_precision import Precision
from heedful.optimizing.operations import Usage

WINDOWS = (64, 128, 256, 512, 1024)
SMALLEST_HEAD = 8  # fewer dimensions save nothing that a processor notices
SINKS = 4

Proposal = tuple[str, tuple[Move, ...]]


def propose(geometry: Geometry, scores: Tensor, usage: Usage) -> list[Proposal]:
    """Return ways to change a site, with a label each; some may turn out to be impossible there.

    Args:
        geometry: What the site is.
        scores: How much each head matters; the least important go first.
        usage: How it is used: windows make sense for long texts that look at themselves only.

    Returns:
        Nothing for a recurrence: before it has learned for long, no head of it seems to matter.
    """
    if geometry.gates:
        return []
    found: list[Proposal] = []
    choices = list(_head_choices(geometry, scores.tolist()))
    for heads in choices:
        label = f"{len(heads)} heads" if len(heads) > 1 else "1 head"
        found.append((label, (KeepHeads(heads=heads),)))
        groups = len({head // _group(geometry) for head in heads})
        if groups > 1:
            found.append((f"{label} on 1", (KeepHeads(heads=heads), ShareKeyValue(kv_heads=1))))
    for kv_heads in (geometry.kv_heads // 2, geometry.kv_heads // 4, 1):
        if kv_heads and geometry.kv_heads % kv_heads == 0 and kv_heads < geometry.kv_heads:
            label = f"{geometry.heads} heads on {kv_heads}"
            found.append((label, (ShareKeyValue(kv_heads=kv_heads),)))
    for rank in (geometry.dim // 2, geometry.dim // 4):
        if rank >= SMALLEST_HEAD:
            found.append((f"heads of {rank}", (QueryKeyRank(rank=rank), ValueRank(rank=rank))))
    if geometry.precision is None and geometry.width >= WIDE:
        found += [(kind, (LowPrecision(precision=kind),)) for kind in get_args(Precision)]
    if usage.own and geometry.mixing is None:
        found.append(("recurrence", (Recurrence(),)))
        half = [heads for heads in choices if len(heads) == geometry.heads // 2][:1]
        for heads in half:
            label = f"recurrence of {len(heads)}"
            found.append((label, (KeepHeads(heads=heads), Recurrence())))
        for window in WINDOWS:
            if 4 * window <= usage.longest:
                found.append((f"window {window}", (Window(window=window, sinks=SINKS),)))
    if usage.own:  # what looks at another text is all that its layer hears of it
        found.append(("dropped", (DropSite(),)))
    return list(_distinct(found))


def _head_choices(geometry: Geometry, scores: Sequence[float]) -> Iterator[tuple[int, ...]]:
    """Heads to keep, the most important ones, as many of each key/value head that stays."""
    group = _group(geometry)
    members = [list(range(k * group, (k + 1) * group)) for k in range(geometry.kv_heads)]
    ranked = [sorted(heads, key=lambda head: -scores[head]) for heads in members]
    ranked.sort(key=lambda heads: -sum(scores[head] for head in heads))
    for kept in _fewer(len(ranked)):
        for each in (group, *_fewer(group)):
            yield tuple(sorted(head for heads in ranked[:kept] for head in heads[:each]))
    if group > 1:
        for each in _fewer(group):
            yield tuple(sorted(head for heads in ranked for head in heads[:each]))


def _group(geometry: Geometry) -> int:
    return geometry.heads // geometry.kv_heads


def _fewer(count: int) -> list[int]:
    """Fewer than so many: one less, then quarters, down to one."""
    steps = {count - 1, 3 * count // 4, count // 2, count // 4, 1}
    return sorted((step for step in steps if 0 < step < count), reverse=True)


def _distinct(found: list[Proposal]) -> Iterator[Proposal]:
    seen: set[tuple[Move, ...]] = set()
    for label, moves in found:
        if moves not in seen:
            seen.add(moves)
            yield label, moves
