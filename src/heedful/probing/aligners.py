"""Capture the aligners of recurrent decoders, which return their weights themselves."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, final

from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.aligners import Aligner
from heedful.probing.call import Call, Wanted
from heedful.probing.kind import Hearing, Kind
from heedful.probing.replace import replaced
from heedful.probing.stated import Returned


@final
class AlignerAttention(Kind):
    """Wraps `forward` and keeps what it returns: one head, one call a step of the decoder."""

    def claims(self, module: nn.Module) -> bool:
        return isinstance(module, Aligner)

    def listen(
        self, model: nn.Module, sites: Mapping[nn.Module, str], hearing: Hearing, stack: ExitStack
    ) -> None:
        for module, name in sites.items():
            stack.enter_context(replaced(module, "forward", _wrapped(module, name, hearing)))


def _wrapped(module: nn.Module, name: str, hearing: Hearing) -> Callable[..., Tensor]:
    plain = module.forward

    def forward(query: Tensor, prepared: Tensor, *, mask: Mask, **given: Any) -> Tensor:
        weights = plain(query, prepared, mask=mask, **given)
        hearing.note(name, partial(_keep, weights, mask, hearing.wanted))
        return weights

    return forward


def _keep(weights: Tensor, mask: Mask, wanted: Wanted) -> Call:
    batch, queries, keys = weights.shape
    device = wanted.device or weights.device
    rows = wanted.rows_of(queries).to(weights.device)
    heads = wanted.heads_of(1)
    returned = wanted.own(weights[:, None, rows])
    weigher = Returned(
        batch=batch,
        heads=heads,
        kv_heads=heads,
        rows=rows.to(device),
        queries=queries,
        keys=keys,
        returned=returned,
        mask=mask if wanted.device is None else mask.to(wanted.device),
    )
    return Call(
        weigher=weigher,
        shown=heads,
        value=returned.new_zeros(batch, 1, keys, 0),  # the module does not see what is summed
        used=returned,
        compared="the weights that the module returned",
    )
