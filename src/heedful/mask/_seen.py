"""Which keys any query sees, without a look at every pair where a mask can do without."""

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.mask._base import At, Rule
from heedful.mask._combined import Both
from heedful.mask._lower import grid, to_bool
from heedful.mask._pattern import Pattern, Size, is_band, pattern
from heedful.mask._rules import Blocks, Dense, Full, Lengths, Segments

PIECES = 8  # in which pairs are looked at, so that there are never all at once


def seen(rule: Rule, size: Size, device: torch.device | str | None) -> Tensor | None:
    """`(#batch, #heads, #keys)`; `None`: every key is known to be seen."""
    rule.check_sizes(*size)
    rule = rule.within(*size[2:])
    if isinstance(rule, Full):
        return None
    device = rule.device() if device is None else torch.device(device)
    if type(size[2]) is int and not size[2]:  # nobody asks
        return torch.zeros(1, 1, size[3], dtype=torch.bool, device=device)
    rule = rule.to(device)
    parts = rule.parts if isinstance(rule, Both) else (rule,)
    at = grid(*size, device)
    alike = [part for part in parts if _asks_no_query(part)]
    found: list[Tensor | None] = [
        _any_query(part, at._replace(query=at.query[:, :, :1])) for part in alike
    ]
    rest = tuple(part for part in parts if not _asks_no_query(part))
    if rest:
        found.append(_of_some(rest[0] if len(rest) == 1 else Both(rest), at, size))
    there = [x for x in found if x is not None]
    return functools.reduce(torch.logical_and, there) if there else None


def _asks_no_query(rule: Rule) -> bool:
    return isinstance(rule, Lengths) or (isinstance(rule, Dense) and rule.tensor.shape[2] == 1)


def _any_query(rule: Rule, at: At) -> Tensor:
    visible = rule.visible(at)
    return visible[(None,) * (4 - visible.ndim)].any(2)


def _of_some(rule: Rule, at: At, size: Size) -> Tensor | None:
    """For a rule of which every part asks which query it is."""
    if isinstance(rule, Dense):
        return rule.tensor.any(2)
    if isinstance(rule, Segments):
        ids = rule.query_ids.sort(-1).values
        place = torch.searchsorted(ids, rule.key_ids).clamp(max=at.queries - 1)
        return (ids.gather(1, place) == rule.key_ids)[:, None]
    parts = rule.parts if isinstance(rule, Both) else (rule,)
    blocks = [part for part in parts if isinstance(part, Blocks)]
    if len(blocks) <= 1 and all(is_band(part) or part in blocks for part in parts):
        found = pattern(rule, size)
        if found.dense is None:
            return _in_a_row(found, at.key.flatten(), at.queries)
    step = -(-at.queries // PIECES)
    if type(step) is not int:  # a symbol: nobody knows how many pieces
        visible = to_bool(rule, size, at.key.device)
        return None if visible is None else visible.any(2)
    pieces = (_any_query(rule, at._replace(query=some)) for some in at.query.split(step, 2))
    return functools.reduce(torch.logical_or, pieces)


def _in_a_row(found: Pattern, key: Tensor, queries: int) -> Tensor | None:
    """What band and grid show: the queries that a band lets see a key follow each other."""
    low, high, keys, blocks = found.low, found.high, key.shape[0], found.grid
    # sizes that are symbols are compared nowhere: that would settle them
    known = all(type(x) is int for x in (low, high, queries, keys)) and blocks is None
    if known and queries and low <= min(0, high) and keys - queries <= high:
        return None
    first = (key - high).clamp(min=0)
    last = torch.where(key < found.sinks, queries - 1, (key - low).clamp(max=queries - 1))
    near = (first <= last)[None, None]
    if blocks is None:
        return near
    before = pad(blocks.cumsum(2), (0, 0, 1, 0))  # blocks that show it in the rows above
    column, rows = key // found.block, blocks.shape[2]
    top, end = ((x // found.block).clamp(0, rows - 1) for x in (first, last))
    return near & (before[:, :, end + 1, column] > before[:, :, top, column])
