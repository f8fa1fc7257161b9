"""A mask as an order of time and a choice of keys, for mechanisms that can honour no more."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.mask._base import Align, Rule
from heedful.mask._combined import Both
from heedful.mask._lower import to_bool
from heedful.mask._rules import Blocks, Causal, Dense, Full, Lengths

Size = tuple[int, int, int, int]  # batch, heads, queries, keys


class Factors(NamedTuple):
    """A query sees a key when time and choice both allow it.

    Args:
        causal: Where queries stand if nobody sees the future; `None`: time does not matter.
        keys: `(#batch, #heads, keys)`, the keys that exist, the same for every query; `None`: all.
    """

    causal: Align | None
    keys: Tensor | None


def factors(rule: Rule, size: Size, device: torch.device | str | None) -> Factors | None:
    """The two factors of a rule; `None` when it is not made of these."""
    rule.check_sizes(*size)
    _, _, queries, keys = size
    causal: Align | None = None
    chosen: Tensor | None = None
    rule = rule.within(queries, keys)
    for part in rule.parts if isinstance(rule, Both) else (rule,):
        if isinstance(part, Full):
            continue
        if isinstance(part, Causal) and causal in (None, part.align):
            causal = part.align
        elif _same_for_every_query(part):
            visible = to_bool(part, size, device)
            if visible is not None:
                visible = visible[:, :, 0].expand(-1, -1, keys)
                chosen = visible if chosen is None else chosen & visible
        else:
            return None
    return Factors(causal, chosen)


def _same_for_every_query(rule: Rule) -> bool:
    return (
        isinstance(rule, Lengths)
        or (isinstance(rule, Dense) and rule.tensor.shape[2] == 1)
        or (isinstance(rule, Blocks) and rule.grid.shape[2] == 1)
    )
