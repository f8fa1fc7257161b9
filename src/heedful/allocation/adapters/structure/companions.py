"""What belongs to query heads besides what they are made of: learned sinks, biases of scores."""

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.structure.structure import Companion, Part
from heedful.allocation.adapters.structure.trace import (
    Trace,
    channels,
    influence,
    own_parameters,
)
from heedful.errors import UnsupportedError


def companions(site: nn.Module, trace: Trace) -> tuple[Companion, ...]:
    """Parameters besides those of layers that have something for each query head."""
    biases = {name for rows in trace.biases.values() for name in rows}
    own = {name: x for name, x in own_parameters(site, trace.layers).items() if name not in biases}
    heads = trace.asked[0]["query"].shape[1]
    found: dict[str, Companion] = {}
    for asked in trace.asked:
        for kind, tensor in asked.items():
            by_head = [_slice(tensor, kind, head, heads) for head in range(heads)]
            if any(x is None for x in by_head):
                continue
            for name, x in own.items():
                if name not in found:
                    companion = _axis(
                        name,
                        x,
                        [influence(one, {"x": x}).get("x") for one in by_head if one is not None],
                    )
                    if companion is not None:
                        found[name] = companion
    return tuple(found.values())


def _slice(tensor: Tensor, kind: str, head: int, heads: int) -> Tensor | None:
    """What of an argument of attention belongs to a head; `None` where nothing does."""
    if kind in ("key", "value"):
        return tensor[:, head * tensor.shape[1] // heads]
    axis = 1 if tensor.ndim == 4 else 0
    if not tensor.ndim or tensor.shape[axis] != heads or not tensor.is_floating_point():
        return None
    return tensor.select(axis, head)


def _axis(name: str, x: Tensor, gradients: list[Tensor | None]) -> Companion | None:
    """Along which axis of a parameter its heads stand; `None` where all depend on it alike."""
    if all(gradient is None for gradient in gradients):
        return None
    touched = [torch.zeros_like(x, dtype=torch.bool) if g is None else g != 0 for g in gradients]
    if all(torch.equal(t, touched[0]) for t in touched) and len(touched) > 1:
        return None
    for axis in range(x.ndim):
        along = [
            t.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
            if x.ndim > 1
            else t.nonzero().flatten()
            for t in touched
        ]
        sizes = {len(a) for a in along}
        every = torch.cat(along)
        if len(sizes) == 1 and len(every.unique()) == len(every) == x.shape[axis]:
            return Companion(name, axis, torch.stack(along))
    raise UnsupportedError(f"its {name} belongs to heads in a way that cannot be cut")


def beside_scores(trace: Trace, makers: set[str]) -> tuple[Part, ...]:
    """Return the rows of layers that make something of the scores of each head besides products.

    Args:
        trace: Of the module.
        makers: Paths of the layers that make queries, keys and values.
    """
    heads = trace.asked[0]["query"].shape[1]
    others = {path: x for path, x in trace.layers.items() if path not in makers}
    found: dict[str, Part] = {}
    for asked in trace.asked:
        for kind, tensor in asked.items():
            if not others or kind in ("query", "key", "value"):
                continue
            by_head = [_slice(tensor, kind, head, heads) for head in range(heads)]
            seen = [influence(x, others) for x in by_head if x is not None and x.numel()]
            for path in {path for each in seen for path in each}:
                rows = [channels(each[path]).tolist() if path in each else [] for each in seen]
                distinct = {row for each in rows for row in each}
                if len(distinct) == sum(map(len, rows)) and len({len(x) for x in rows}) == 1:
                    found[path] = Part(path, torch.tensor(rows))
    return tuple(found.values())
