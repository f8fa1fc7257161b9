"""Blocks that are read whatever an estimate says: the first, the own, and those just behind."""

from typing import get_args

import torch
from jaxtyping import Bool
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Align
from heedful.selection._cells import Cells
from heedful.selection._shapes import check_count


def always_kept(
    queries: int,
    keys: int,
    *,
    block: int,
    sinks: int = 1,
    window: int = 1,
    align: Align = "end",
    device: torch.device | str | None = None,
) -> Bool[Tensor, "1 1 query_blocks key_blocks"]:
    """Keep the first key blocks, those on the diagonal, and those just behind it.

    The diagonal of a query block runs through the key blocks in which its queries stand: one, or
    two where `keys - queries` is no multiple of `block`.

    Args:
        queries: Number of queries.
        keys: Number of keys.
        block: Positions per block.
        sinks: Key blocks kept at the beginning.
        window: Key blocks kept just behind the diagonal.
        align: Where query `i` stands. "end": at `i + keys - queries`; "start": at `i`.
        device: Where the result lives.

    Returns:
        True for blocks to keep; a mask may hide them all the same.

    Raises:
        ConfigError: `block < 1`, `queries`, `keys`, `sinks` or `window` is negative, or an unknown
            `align`.

    Source:
        Xiao et al. 2023, arXiv:2309.17453 (sinks).
    """
    check_count("block", block, least=1)
    for name, value in (("queries", queries), ("keys", keys), ("sinks", sinks), ("window", window)):
        check_count(name, value, least=0)
    if align not in get_args(Align):
        raise ConfigError(f"align must be 'end' or 'start', got {align!r}")
    device = torch.device("cpu" if device is None else device)
    rows, offset = Cells(queries, block), keys - queries if align == "end" else 0
    every = slice(0, rows.count)
    first = (rows.first(every, device) + offset).div(block, rounding_mode="floor")[:, None]
    last = (rows.last(every, device) + offset).div(block, rounding_mode="floor")[:, None]
    column = torch.arange(Cells(keys, block).count, device=device)
    kept = (column < sinks) | ((column >= first - window) & (column <= last))
    return kept[None, None]
