"""Capture the pixels that look at pixels: SAGAN's attention and the non-local block."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import final

from torch import Tensor, nn

from heedful.nn.vision import NonLocal, Sagan
from heedful.nn.vision._image import mask_keys
from heedful.probing.adapter import ProbeAdapter, Recording
from heedful.probing.call import CaptureOptions, ProbedCall, Subset, scaled_dot
from heedful.probing.replace import replaced
from heedful.probing.weights import Masking


@final
class VisionAttention(ProbeAdapter):
    """Wraps `mix`, and `forward`, which knows which pixels exist; pixels count line by line."""

    def claims(self, module: nn.Module) -> bool:
        # what divides by the number of keys is no softmax
        softmax = isinstance(module, NonLocal) and module.affinity != "dot"
        return softmax or isinstance(module, Sagan)

    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        for module, name in sites.items():
            if isinstance(module, Sagan | NonLocal):
                forward, mix = _wrapped(module, name, recording)
                stack.enter_context(replaced(module, "forward", forward))
                stack.enter_context(replaced(module, "mix", mix))


def _wrapped(
    module: Sagan | NonLocal, name: str, recording: Recording
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    plain_forward, plain = module.forward, module.mix
    here = threading.local()

    def forward(x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        here.exists = mask
        return plain_forward(x, mask=mask)

    def mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        mixed = plain(query, key, value, mask)
        tensors = tuple(x[:, None] for x in (query, key, value, mixed))  # one head
        exists = getattr(here, "exists", None)
        keep = partial(_keep, tensors, exists, mask, recording.options)
        recording.record(name, keep, mixed, lambda gradient: gradient[:, None])
        return mixed

    return forward, mix


def _keep(
    tensors: tuple[Tensor, ...], exists: Tensor | None, seen: Tensor | None, options: CaptureOptions
) -> ProbedCall:
    query, key, value, mixed = tensors
    queries = query.shape[2]
    subset = Subset(
        options=options,
        heads=options.heads_of(1),
        rows=options.rows_of(queries),
        queries=queries,
        self_attention=key.shape[2] == queries,
    )
    there = None if exists is None else exists.flatten(1)
    masking = Masking(
        mask=mask_keys(seen), visible=() if there is None else (there[:, None, :, None],)
    )
    return ProbedCall(
        weights=scaled_dot(subset, query, key, scale=1.0, masking=masking),
        shown=subset.heads,
        value=subset.of_key(value),
        output=subset.of_query(mixed),
        compared="the mixed values before the output projection",
        padding_rows=None if there is None else subset.of_rows(~there, axis=1),
    )
