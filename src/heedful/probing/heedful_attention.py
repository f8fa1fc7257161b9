"""Capture `heedful.nn.Attention`, with every mechanism, and what else has a `mix` like it."""

import copy
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, final

from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.co.cross_modal import CrossAttention
from heedful.nn.pooling import AttentionPooling
from heedful.probing.call import Call, Choice, Wanted, scaled_dot
from heedful.probing.kind import Hearing, Kind
from heedful.probing.replace import replaced
from heedful.probing.stated import ByMechanism
from heedful.probing.weighing import Rules, Weigher

SITES = (Attention, AttentionPooling, CrossAttention)
Module = Attention | AttentionPooling | CrossAttention


@final
class HeedfulAttention(Kind):
    """Stands in the place of `mix`, which sees queries and keys as they are compared."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, SITES)

    def listen(
        self, model: nn.Module, sites: Mapping[nn.Module, str], hearing: Hearing, stack: ExitStack
    ) -> None:
        for module, name in sites.items():
            if isinstance(module, SITES):
                forward, mix = _listening(module, name, hearing)
                stack.enter_context(replaced(module, "forward", forward))
                stack.enter_context(replaced(module, "mix", mix))


def _listening(
    module: Module, name: str, hearing: Hearing
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """What stands in the place of `forward`, which knows what is looked at, and of `mix`."""
    plain_forward, plain = module.forward, module.mix
    here = threading.local()

    def forward(x: Tensor, context: Tensor | None = None, **given: Any) -> Tensor:
        here.own = isinstance(module, Attention) and (context is None or context is x)
        try:
            return plain_forward(x, *(() if context is None else (context,)), **given)
        finally:
            here.own = False

    def mix(
        query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, bias: Tensor | None = None
    ) -> Tensor:
        added = (bias,) if isinstance(module, Attention) else ()
        mixed = plain(query, key, value, mask, *added)
        own = getattr(here, "own", False)
        tensors = (query, key, value)
        keep = partial(_keep, module, tensors, mask, bias, mixed, hearing.wanted, own=own)
        hearing.note(name, keep)
        return mixed

    return forward, mix


def _keep(
    module: Module,
    tensors: tuple[Tensor, Tensor, Tensor],
    mask: Mask | None,
    bias: Tensor | None,
    mixed: Tensor,
    wanted: Wanted,
    *,
    own: bool,
) -> Call:
    query, key, value = tensors
    queries = query.shape[2]
    choice = Choice(
        wanted=wanted,
        heads=wanted.heads_of(module.heads),
        rows=wanted.rows_of(queries),
        queries=queries,
        groups=module.heads // key.shape[1],
        own=own,
    )
    if mask is not None and mask.within(queries, key.shape[2]) == Mask.full():
        mask = None
    dropping = module.training and getattr(module, "dropout", 0) > 0
    return Call(
        weigher=_weigher(module, choice, query, key, mask, bias),
        shown=tuple(range(len(choice.heads))),
        value=choice.of_key(value),
        used=choice.of_query(mixed),
        compared="the mixed values before the output projection",
        unproven="dropout was active" if dropping else None,
    )


def _weigher(
    module: Module,
    choice: Choice,
    query: Tensor,
    key: Tensor,
    mask: Mask | None,
    bias: Tensor | None,
) -> Weigher:
    queries, keys, wanted = query.shape[2], key.shape[2], choice.wanted
    mechanism = None if isinstance(module, CrossAttention) else module.mechanism
    if mechanism is None:
        causal = mask is not None and mask.is_causal(queries, keys)
        added = () if bias is None else (bias,)
        rules = Rules(mask=None if causal else mask, added=added, causal=causal)
        return scaled_dot(choice, query, key, scale=1 / math.sqrt(query.shape[3]), rules=rules)
    device = wanted.device or query.device
    return ByMechanism(
        batch=len(query),
        heads=choice.heads,
        kv_heads=choice.kv_heads,
        rows=choice.rows.to(device),
        queries=queries,
        keys=keys,
        own=choice.own,
        mechanism=copy.deepcopy(mechanism).eval().to(device),
        query=wanted.own(query),
        key=wanted.own(key),
        mask=mask if mask is None or wanted.device is None else mask.to(wanted.device),
    )
