"""Hear `heedful.nn.Attention`, with every mechanism."""

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import final

from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.probing.call import Call, Choice, Wanted, scaled_dot
from heedful.probing.kind import Hearing, Kind
from heedful.probing.replace import replaced
from heedful.probing.weighing import ByMechanism, Rules, Weigher


@final
class HeedfulAttention(Kind):
    """Stands in the place of `mix`, which sees queries and keys as they are compared."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, Attention)

    def listen(
        self, model: nn.Module, sites: Mapping[nn.Module, str], hearing: Hearing, stack: ExitStack
    ) -> None:
        for module, name in sites.items():
            if isinstance(module, Attention):
                stack.enter_context(replaced(module, "mix", _listening(module, name, hearing)))


def _listening(module: Attention, name: str, hearing: Hearing) -> Callable[..., Tensor]:
    plain = module.mix

    def mix(
        query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, bias: Tensor | None
    ) -> Tensor:
        mixed = plain(query, key, value, mask, bias)
        hearing.note(
            name, partial(_keep, module, (query, key, value), mask, bias, mixed, hearing.wanted)
        )
        return mixed

    return mix


def _keep(
    module: Attention,
    tensors: tuple[Tensor, Tensor, Tensor],
    mask: Mask | None,
    bias: Tensor | None,
    mixed: Tensor,
    wanted: Wanted,
) -> Call:
    query, key, value = tensors
    queries, keys = query.shape[2], key.shape[2]
    choice = Choice(
        wanted=wanted,
        heads=wanted.heads_of(module.heads),
        rows=wanted.rows_of(queries),
        queries=queries,
        groups=module.heads // key.shape[1],
    )
    if mask is not None and mask.within(queries, keys) == Mask.full():
        mask = None
    weigher: Weigher
    if module.mechanism is None:
        causal = mask is not None and mask.is_causal(queries, keys)
        added = () if bias is None else (bias,)
        rules = Rules(mask=None if causal else mask, added=added, causal=causal)
        scale = 1 / math.sqrt(query.shape[3])
        weigher = scaled_dot(choice, query, key, scale=scale, rules=rules)
    else:
        weigher = ByMechanism(
            batch=len(query),
            heads=choice.heads,
            kv_heads=choice.kv_heads,
            rows=choice.rows.to(wanted.device or query.device),
            queries=queries,
            keys=keys,
            mechanism=copy.deepcopy(module.mechanism).eval().to(wanted.device or query.device),
            query=wanted.own(query),
            key=wanted.own(key),
            mask=mask if mask is None or wanted.device is None else mask.to(wanted.device),
        )
    dropping = module.training and module.dropout > 0
    return Call(
        weigher=weigher,
        shown=tuple(range(len(choice.heads))),
        value=choice.of_key(value),
        used=choice.of_query(mixed),
        compared="the mixed values before the output projection",
        unproven="dropout was active" if dropping else None,
    )
