"""Capture the aligners of recurrent decoders, which return their weights themselves."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, final

from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.aligners import Aligner
from heedful.probing.adapter import ProbeAdapter, Recording
from heedful.probing.call import CaptureOptions, ProbedCall
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.replace import replaced


@final
class AlignerAttention(ProbeAdapter):
    """Wraps `forward` and keeps what it returns: one head, one call a step of the decoder."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, Aligner)

    def attach(
        self,
        model: nn.Module,
        sites: Mapping[nn.Module, str],
        recording: Recording,
        stack: ExitStack,
    ) -> None:
        for module, name in sites.items():
            stack.enter_context(replaced(module, "forward", _wrapped(module, name, recording)))


def _wrapped(module: nn.Module, name: str, recording: Recording) -> Callable[..., Tensor]:
    plain = module.forward

    def forward(query: Tensor, prepared: Tensor, *, mask: Mask, **given: Any) -> Tensor:
        weights = plain(query, prepared, mask=mask, **given)
        keep = partial(_keep, weights, mask, recording.options)
        recording.record(name, keep, weights, lambda gradient: gradient[:, None])
        return weights

    return forward


def _keep(weights: Tensor, mask: Mask, options: CaptureOptions) -> ProbedCall:
    batch, queries, keys = weights.shape
    device = options.device or weights.device
    rows = options.rows_of(queries).to(weights.device)
    heads = options.heads_of(1)
    returned = options.copy_of(weights[:, None, rows])
    attention = ReturnedWeights(
        batch=batch,
        heads=heads,
        kv_heads=heads,
        rows=rows.to(device),
        queries=queries,
        keys=keys,
        returned=returned,
        mask=mask if options.device is None else mask.to(options.device),
    )
    return ProbedCall(
        weights=attention,
        shown=heads,
        value=returned.new_zeros(batch, 1, keys, 0),  # the module does not see what is summed
        output=returned,
        compared="the weights that the module returned",
    )
