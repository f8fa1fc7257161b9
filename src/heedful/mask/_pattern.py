"""A mask taken apart into what kernels know how to skip: a band, lengths, segments, a grid."""

import functools
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from heedful.mask._base import Align, Rule
from heedful.mask._combined import Both
from heedful.mask._cut import Cut
from heedful.mask._lower import to_bool
from heedful.mask._rules import Anticausal, Blocks, Causal, Dense, Full, Lengths, Segments, Window

NO_BOUND = 2**40  # further than any two positions are apart

Size = tuple[int, int, int, int]  # batch, heads, queries, keys
Band = tuple[int | None, int | None, int]  # lowest and highest distance, if any; sinks


class Pattern(NamedTuple):
    """A query sees a key when the band and all that follows it allow it. `None`: allows everything.

    Args:
        low: Key `j` is near query `i` when `low <= j - i <= high`.
        high: See `low`. Without a band they are `-NO_BOUND` and `NO_BOUND`.
        sinks: The band allows near keys, and those with `j < sinks` and `j - i <= high`.
        lengths: `(batch,)`, int64: `j < lengths[b]`.
        query_ids: `(batch, queries)`, int64: equal ids see each other.
        key_ids: `(batch, keys)`, int64.
        grid: `(#batch, #heads, query_blocks, key_blocks)`, for squares of `block` positions.
        block: Positions per block of the grid; 1 where there is none.
        dense: `(#batch, #heads, #queries, #keys)`, whatever is none of the above.
    """

    low: int = -NO_BOUND
    high: int = NO_BOUND
    sinks: int = 0
    lengths: Tensor | None = None
    query_ids: Tensor | None = None
    key_ids: Tensor | None = None
    grid: Tensor | None = None
    block: int = 1
    dense: Tensor | None = None

    def visible(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """All parts as truth values, `(#batch, #heads, #queries, #keys)`; `None`: nothing hides.

        Args:
            queries: Number of queries.
            keys: Number of keys.
            device: Where the parts are.
        """
        query = torch.arange(queries, device=device)[:, None]
        key = torch.arange(keys, device=device)
        parts = [self._band(query, key)]
        if self.lengths is not None:
            parts.append(key < self.lengths[:, None, None, None])
        if self.query_ids is not None and self.key_ids is not None:
            parts.append((self.query_ids[:, :, None] == self.key_ids[:, None])[:, None])
        if self.grid is not None:
            rows = self.grid.index_select(2, query[:, 0] // self.block)
            parts.append(rows.index_select(3, key // self.block))
        parts.append(self.dense)
        there = [part for part in parts if part is not None]
        return functools.reduce(torch.logical_and, there) if there else None

    def hides_all(self, queries: int, keys: int) -> bool:
        """Is it plain, without a look at pairs, that no query sees any key?"""
        beyond = self.high <= -queries or (self.low >= keys and not self.sinks)
        return beyond or (self.lengths is not None and not self.lengths.any())

    def _band(self, query: Tensor, key: Tensor) -> Tensor | None:
        away = key - query
        # a bound that is a symbol is one; to compare it would settle it
        near = None if _is(self.low, -NO_BOUND) else away >= self.low
        if near is not None:
            near = near | (key < self.sinks)
        if not _is(self.high, NO_BOUND):
            near = away <= self.high if near is None else near & (away <= self.high)
        return None if near is None else near[None, None]


def _is(bound: int, number: int) -> bool:
    return type(bound) is int and bound == number


def pattern(rule: Rule, size: Size) -> Pattern:
    """The parts of a rule, each where it belongs; those that belong nowhere in `dense`."""
    rule.check_sizes(*size)
    if isinstance(rule, Cut):
        return _of_cut(rule, size)
    found, rest = _taken_apart(rule, size)
    return found._replace(dense=_dense(rest, size, rule))


def _taken_apart(rule: Rule, size: Size) -> tuple[Pattern, list[Rule]]:
    """All but `dense`, and the rules that belong nowhere else."""
    _, _, queries, keys = size
    rule = rule.within(queries, keys)
    if isinstance(rule, Full):
        return Pattern(), []
    band: Band = (None, None, 0)
    lengths: Tensor | None = None
    segments: Segments | None = None
    blocks: Blocks | None = None
    rest: list[Rule] = []
    for part in rule.parts if isinstance(rule, Both) else (rule,):
        if is_band(part):
            together = _meet(band, _band(part, keys - queries))
            if together is None:
                rest.append(part)
            else:
                band = together
        elif isinstance(part, Lengths):
            lengths = part.values if lengths is None else torch.minimum(lengths, part.values)
        elif isinstance(part, Segments) and segments is None:
            segments = part
        elif isinstance(part, Blocks) and blocks is None:
            blocks = part
        else:
            rest.append(part)
    low, high, sinks = band
    found = Pattern(
        -NO_BOUND if low is None else low,
        NO_BOUND if high is None else high,
        sinks,
        None if lengths is None else lengths.contiguous(),
        None if segments is None else segments.query_ids.contiguous(),
        None if segments is None else segments.key_ids.contiguous(),
        None if blocks is None else blocks.grid,
        1 if blocks is None else blocks.block,
    )
    return found, rest


def _of_cut(cut: Cut, size: Size) -> Pattern:
    """The parts of the whole, each moved to where the cut begins."""
    batch, heads, queries, keys = size
    found, rest = _taken_apart(
        cut.rule, (batch, cut.whole.heads, cut.whole.queries, cut.whole.keys)
    )
    head, query, key = cut.first
    away, grid, block = key - query, found.grid, found.block
    if grid is not None and (query % block or key % block):  # squares begin elsewhere
        rest, grid, block = [*rest, Blocks(grid, block)], None, 1
    if grid is not None:
        some = slice(None) if grid.shape[1] == 1 else slice(head, head + heads)
        rows = slice(query // block, -(-(query + queries) // block))
        columns = slice(key // block, -(-(key + keys) // block))
        grid = grid[:, some, rows, columns]
    lengths, query_ids, key_ids = found.lengths, found.query_ids, found.key_ids
    return Pattern(
        found.low if found.low == -NO_BOUND else found.low - away,
        found.high if found.high == NO_BOUND else found.high - away,
        max(found.sinks - key, 0),
        None if lengths is None else (lengths - key).clamp(0, keys),
        None if query_ids is None else query_ids[:, query : query + queries].contiguous(),
        None if key_ids is None else key_ids[:, key : key + keys].contiguous(),
        grid,
        block,
        _dense([Cut(rule, cut.first, cut.whole) for rule in rest], size, cut.rule),
    )


def is_band(rule: Rule) -> TypeGuard[Causal | Anticausal | Window]:
    return isinstance(rule, Causal | Anticausal | Window)


def _band(rule: Causal | Anticausal | Window, offset: int) -> Band:
    align: Align = rule.align
    here = offset if align == "end" else 0  # `j - i` of the key at which the query stands
    if isinstance(rule, Causal):
        return None, here, 0
    if isinstance(rule, Anticausal):
        return here, None, 0
    return here - rule.size + 1, here + rule.ahead, rule.sinks


def _meet(one: Band, other: Band) -> Band | None:
    """Both bands as one; `None` where the nearer lower bound has more sinks: that is no band."""
    if one[1] is None or other[1] is None:
        high = other[1] if one[1] is None else one[1]
    else:
        high = min(one[1], other[1])
    if one[0] is None or other[0] is None:
        low, _, sinks = other if one[0] is None else one
        return low, high, sinks
    if one[0] == other[0]:
        return one[0], high, min(one[2], other[2])
    nearer, further = (one, other) if one[0] > other[0] else (other, one)
    return (nearer[0], high, nearer[2]) if nearer[2] <= further[2] else None


def _dense(rules: list[Rule], size: Size, whole: Rule) -> Tensor | None:
    dense: Tensor | None = None
    for rule in rules:
        device = whole.device()
        # a table is what is wanted already; to look it up would copy it
        table = rule.tensor.to(device) if isinstance(rule, Dense) else to_bool(rule, size, device)
        if table is not None:
            dense = table if dense is None else dense & table
    return dense
