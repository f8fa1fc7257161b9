"""One mask of every kind, each with its meaning as a plain function: what contracts run through."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from heedful.mask import Mask
from heedful.testing.oracle import Sees


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The axes of one test case; all different, so that swapped axes cannot pass."""

    batch: int = 2
    heads: int = 4
    kv_heads: int = 4
    queries: int = 5
    keys: int = 7
    dim: int = 3
    value_dim: int = 6


def _none(sizes: Sizes) -> tuple[Mask | None, Sees]:
    return None, lambda b, h, i, j: True


def _full(sizes: Sizes) -> tuple[Mask, Sees]:
    return Mask.full(), lambda b, h, i, j: True


def _causal(sizes: Sizes) -> tuple[Mask, Sees]:
    offset = sizes.keys - sizes.queries
    return Mask.causal(), lambda b, h, i, j: j <= i + offset


def _causal_start(sizes: Sizes) -> tuple[Mask, Sees]:
    return Mask.causal(align="start"), lambda b, h, i, j: j <= i


def _anticausal(sizes: Sizes) -> tuple[Mask, Sees]:
    offset = sizes.keys - sizes.queries
    return Mask.anticausal(), lambda b, h, i, j: j >= i + offset


def _lengths(sizes: Sizes) -> tuple[Mask, Sees]:
    lengths = [sizes.keys - 2, sizes.keys][: sizes.batch]
    return Mask.lengths(torch.tensor(lengths)), lambda b, h, i, j: j < lengths[b]


def _empty_text(sizes: Sizes) -> tuple[Mask, Sees]:
    lengths = [0, sizes.keys - 1][: sizes.batch]
    return Mask.lengths(torch.tensor(lengths)), lambda b, h, i, j: j < lengths[b]


def _window(sizes: Sizes) -> tuple[Mask, Sees]:
    offset = sizes.keys - sizes.queries
    return Mask.window(2), lambda b, h, i, j: i + offset - 2 < j <= i + offset


def _window_sinks(sizes: Sizes) -> tuple[Mask, Sees]:
    offset = sizes.keys - sizes.queries

    def sees(b: int, h: int, i: int, j: int) -> bool:
        p = i + offset
        return j <= p + 1 and (p - j < 2 or j < 1)

    return Mask.window(2, ahead=1, sinks=1), sees


def _segments(sizes: Sizes) -> tuple[Mask, Sees]:
    query_ids = [[(i + b) // 2 for i in range(sizes.queries)] for b in range(sizes.batch)]
    key_ids = [[(j + b) // 3 for j in range(sizes.keys)] for b in range(sizes.batch)]
    mask = Mask.segments(torch.tensor(query_ids), torch.tensor(key_ids))
    return mask, lambda b, h, i, j: query_ids[b][i] == key_ids[b][j]


def _dense(sizes: Sizes) -> tuple[Mask, Sees]:
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    table = torch.rand(shape, generator=torch.Generator().manual_seed(5)) < 0.5
    return Mask.dense(table), lambda b, h, i, j: bool(table[b, h, i, j])


def _dense_shared(sizes: Sizes) -> tuple[Mask, Sees]:
    shape = (sizes.queries, sizes.keys)
    table = torch.rand(shape, generator=torch.Generator().manual_seed(6)) < 0.5
    table[0] = False  # the first query sees nothing
    return Mask.dense(table), lambda b, h, i, j: bool(table[i, j])


def _blocks(sizes: Sizes) -> tuple[Mask, Sees]:
    shape = (1, sizes.heads, -(-sizes.queries // 3), -(-sizes.keys // 3))
    table = torch.rand(shape, generator=torch.Generator().manual_seed(7)) < 0.6
    return Mask.blocks(table, block=3), lambda b, h, i, j: bool(table[0, h, i // 3, j // 3])


def _both(sizes: Sizes) -> tuple[Mask, Sees]:
    (causal, first), (lengths, second) = _causal(sizes), _lengths(sizes)
    return causal & lengths, lambda b, h, i, j: first(b, h, i, j) and second(b, h, i, j)


def _either(sizes: Sizes) -> tuple[Mask, Sees]:
    (window, first), (segments, second), (lengths, third) = (
        _window(sizes),
        _segments(sizes),
        _lengths(sizes),
    )
    return (
        window | segments
    ) & lengths, lambda b, h, i, j: (first(b, h, i, j) or second(b, h, i, j)) and third(b, h, i, j)


def _nothing(sizes: Sizes) -> tuple[Mask, Sees]:
    return Mask.dense(torch.zeros(1, 1, dtype=torch.bool)), lambda b, h, i, j: False


# name -> for given sizes: the mask, and what it means
MASKS: dict[str, Callable[[Sizes], tuple[Mask | None, Sees]]] = {
    "none": _none,
    "full": _full,
    "causal": _causal,
    "causal_start": _causal_start,
    "anticausal": _anticausal,
    "lengths": _lengths,
    "empty_text": _empty_text,
    "window": _window,
    "window_sinks": _window_sinks,
    "segments": _segments,
    "dense": _dense,
    "dense_shared": _dense_shared,
    "blocks": _blocks,
    "both": _both,
    "either": _either,
    "nothing": _nothing,
}
