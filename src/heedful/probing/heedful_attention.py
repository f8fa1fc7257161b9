"""Capture `heedful.nn.Attention`, with every mechanism, and what else has a `mix` like it."""

import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, final

from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.co.cross_modal import CrossAttention
from heedful.nn.mechanisms.base import Mechanism
from heedful.nn.pooling import AttentionPooling
from heedful.probing.adapter import ProbeAdapter, Recording
from heedful.probing.call import CaptureOptions, ProbedCall, Subset, scaled_dot
from heedful.probing.explicit_weights import MechanismWeights
from heedful.probing.replace import replaced
from heedful.probing.weights import AttentionWeights, Masking

SITES = (Attention, AttentionPooling, CrossAttention)
Module = Attention | AttentionPooling | CrossAttention


@final
class HeedfulAttention(ProbeAdapter):
    """Stands in the place of `mix`, which sees queries and keys as they are compared."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, SITES)

    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        for module, name in sites.items():
            if isinstance(module, SITES):
                forward, mix = _wrapped(module, name, recording)
                stack.enter_context(replaced(module, "forward", forward))
                stack.enter_context(replaced(module, "mix", mix))


def _wrapped(
    module: Module, name: str, recording: Recording
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """What stands in the place of `forward`, which knows what is looked at, and of `mix`."""
    plain_forward, plain = module.forward, module.mix
    here = threading.local()

    def forward(x: Tensor, context: Tensor | None = None, **given: Any) -> Tensor:
        here.self_attention = isinstance(module, Attention) and (context is None or context is x)
        try:
            return plain_forward(x, *(() if context is None else (context,)), **given)
        finally:
            here.self_attention = False

    def mix(
        query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, bias: Tensor | None = None
    ) -> Tensor:
        added = (bias,) if isinstance(module, Attention) else ()
        mixed = plain(query, key, value, mask, *added)
        self_attention = getattr(here, "self_attention", False)
        tensors = (query, key, value)
        keep = partial(
            _keep,
            module,
            tensors,
            mask,
            bias,
            mixed,
            recording.options,
            self_attention=self_attention,
        )
        recording.record(name, keep, mixed)
        return mixed

    return forward, mix


def _keep(
    module: Module,
    tensors: tuple[Tensor, Tensor, Tensor],
    mask: Mask | None,
    bias: Tensor | None,
    mixed: Tensor,
    options: CaptureOptions,
    *,
    self_attention: bool,
) -> ProbedCall:
    query, key, value = tensors
    queries = query.shape[2]
    subset = Subset(
        options=options,
        heads=options.heads_of(module.heads),
        rows=options.rows_of(queries),
        queries=queries,
        groups=module.heads // key.shape[1],
        self_attention=self_attention,
    )
    if mask is not None and mask.within(queries, key.shape[2]) == Mask.full():
        mask = None
    dropping = module.training and getattr(module, "dropout", 0) > 0
    weights = _attention_weights(module, subset, query, key, mask, bias)
    finish = _finish(weights)
    return ProbedCall(
        weights=weights,
        shown=tuple(range(len(subset.heads))),
        value=subset.of_key(value),
        output=subset.of_query(mixed),
        compared="the mixed values before the output projection",
        finish=finish,
        linear=finish is None,
        unverifiable="dropout was active" if dropping else None,
    )


def _finish(weights: AttentionWeights) -> Callable[[Tensor, Sequence[int]], Tensor] | None:
    """What the mechanism does behind the weighted sum, as it was; `None` where it does nothing."""
    if not isinstance(weights, MechanismWeights):
        return None
    mechanism = weights.mechanism
    if type(mechanism).finish is Mechanism.finish:
        return None
    return lambda mixed, rows: mechanism.finish(mixed)


def _attention_weights(
    module: Module,
    subset: Subset,
    query: Tensor,
    key: Tensor,
    mask: Mask | None,
    bias: Tensor | None,
) -> AttentionWeights:
    queries, keys, options = query.shape[2], key.shape[2], subset.options
    mechanism = None if isinstance(module, CrossAttention) else module.mechanism
    if mechanism is None:
        causal = mask is not None and mask.is_causal(queries, keys)
        added = () if bias is None else (bias,)
        masking = Masking(mask=None if causal else mask, added=added, causal=causal)
        return scaled_dot(subset, query, key, scale=1 / math.sqrt(query.shape[3]), masking=masking)
    device = options.device or query.device
    return MechanismWeights(
        batch=len(query),
        heads=subset.heads,
        kv_heads=subset.kv_heads,
        rows=subset.rows.to(device),
        queries=queries,
        keys=keys,
        self_attention=subset.self_attention,
        mechanism=copy.deepcopy(mechanism).eval().to(device),
        query=options.copy_of(query),
        key=options.copy_of(key),
        mask=mask if mask is None or options.device is None else mask.to(options.device),
    )
