"""What stands at a hidden key or value changes nothing, also where it is NaN or inf.

A hidden weight is 0, but 0 times NaN is NaN. To take such numbers out of every call would cost a
copy of keys and values; so a call runs as it is, one sum tells whether its result is finite, and
only where it is not the call is answered again, exactly.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.kernels import composed
from heedful.kernels.call import NOTHING, Call, share_heads
from heedful.listeners import may_look
from heedful.mask import Mask

MOST = 2**24  # pairs that are looked at together


class Clean(NamedTuple):
    """A call without what must not matter.

    Args:
        query: 0 in rows that see nothing.
        key: 0 in rows that hold what is no number, or makes none, in the key or in the value.
        value: As `key`.
        bias: As it was, but -inf where the mask hides.
        spoilt: `(batch, kv_heads, keys, 1)`: the rows of keys that were taken out.
        blind: `(#batch, #heads, #queries, 1)`: the queries that see nothing.
        sees: `(batch, heads, queries, 1)`: the queries that see a spoilt key: theirs is another
            answer. `None`: nobody does.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    spoilt: Tensor
    blind: Tensor
    sees: Tensor | None


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def finite(output: Tensor) -> bool:
    """No NaN and no inf, told by one sum; number by number only where that is none."""
    output = output.detach()
    return math.isfinite(output.sum().item()) or bool(output.isfinite().all())


def calm(*tensors: Tensor) -> bool:
    """Nothing of which a gradient could become no number although it counts 0 times."""
    # no number is larger than the length of all together, which is NaN where one of them is
    return all(
        torch.linalg.vector_norm(x.detach(), dtype=composed.wide(x.dtype)).item() < _huge(x.dtype)
        for x in tensors
    )


def _huge(dtype: torch.dtype) -> float:
    """A product of two numbers below it is one."""
    return math.sqrt(torch.finfo(composed.wide(dtype)).max)


def keep_out(attend: Attend, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
    """Run a mechanism so that nothing at a hidden key or value changes an output or a gradient.

    For mechanisms in which a query's output comes of what it sees alone. In a graph, under a mode
    and on a GPU values cannot be looked at: there, keys and values that nobody sees count as 0.

    Args:
        attend: Called with query, key and value; rows of its output belong to queries.
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        mask: Which query may see which key; looked at only where it matters.

    Returns:
        What `attend` gives for keys and values that are 0 where they are no numbers, or so large
        that a product is none; NaN, also in the gradient of the query, for a query that sees such a
        one; 0 where nothing is visible.

    Cost:
        A sum of the output, and with gradients the length of keys and values. Where something is
        not finite, the call once more and a look at every pair.
    """
    call = Call(query, key, value, mask, None, 1.0, 0.0)
    if not may_look(query, key, value):
        return attend(query, *unseen(key, value, _seen(call), query.shape[1]))
    graph = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    output = attend(query, key, value) if not graph or calm(key, value) else None
    if output is not None and finite(output):
        return output
    found = clean(query, key, value, None, call.visible(), 1.0)
    if found is None:
        return attend(query, key, value) if output is None else output
    output = attend(found.query, found.key, found.value).masked_fill(found.blind, 0.0)
    if found.sees is None:
        return output
    spoilt = torch.where(found.sees, float("nan"), 0.0)  # elsewhere NaN would meet gradients of 0
    return torch.where(found.sees, query.sum(-1, keepdim=True) * spoilt, output)


def run(kernel: Callable[[Call], Tensor], call: Call, *more: Tensor) -> Tensor:
    """Run a kernel of `attend` by the same rule: only who sees no number gets another's answer.

    Args:
        kernel: Called with `call`, and once more where its answer is not finite.
        call: What is asked.
        more: What must be numbers for gradients beyond keys and values.
    """
    if call.bias is None and (call.mask is None or call.pattern() == NOTHING):
        return kernel(call)
    query, key, value, _, bias, scale, dropout = call
    if not may_look(query, key, value, bias):
        key, value = unseen(key, value, _seen(call), query.shape[1])
        return kernel(call._replace(key=key, value=value))
    # what is drawn at random must be drawn again
    state = torch.get_rng_state() if dropout else None
    output = kernel(call) if not call.needs_gradient() or calm(key, value, *more) else None
    if output is not None and finite(output):
        return output
    visible = call.visible()
    found = clean(query, key, value, bias, visible, scale)
    if found is None:
        return kernel(call) if output is None else output
    if state is not None:
        torch.set_rng_state(state)
    cleaned = call._replace(query=found.query, key=found.key, value=found.value, bias=found.bias)
    output = kernel(cleaned)
    if found.sees is None:
        return output
    other = composed.exact(found.query, key, value, bias, visible, scale, dropout=dropout)
    return torch.where(found.sees, other, output)


def unseen(key: Tensor, value: Tensor, seen: Tensor | None, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values with 0 where no query sees them, whatever stands there.

    Args:
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        seen: `(#batch, #heads, #keys)`: which keys any query sees. `None` means: all.
        heads: Of the queries.
    """
    if seen is None:
        return key, value
    kv_heads = key.shape[1]
    if seen.shape[1] != 1 and kv_heads != heads:
        seen = seen.unflatten(1, (kv_heads, heads // kv_heads)).any(2)
    seen = seen[..., None]
    return torch.where(seen, key, 0.0), torch.where(seen, value, 0.0)


def clean(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
) -> Clean | None:
    """Take out what is no number, or so large that a product is none; `None`: there is nothing.

    Args:
        query: As for `attend`.
        key: Its heads divide those of `query`.
        value: As `key`.
        bias: Where it is -inf, nothing is visible.
        visible: `(#batch, #heads, #queries, #keys)`. `None` means: all is visible.
        scale: Factor of the dot product.
    """
    seen = composed.sees(visible, bias)
    if seen is None:
        return None
    with torch.no_grad():
        spoilt = _spoilt(query, key, value, scale)
        blind = ~seen.any(-1, keepdim=True)
        lost = (blind & ~query.isfinite().all(-1, keepdim=True)).any()
        # what a bias adds where the mask hides
        hides = bias is not None and visible is not None and (bias.isnan() | bias.isposinf()).any()
        if not (spoilt.any() or lost or hides):
            return None
        sees = _sees(seen, spoilt[..., 0], query)[..., None] if spoilt.any() else None
        sees = sees if sees is not None and sees.any() else None
    if bias is not None and visible is not None:
        bias = torch.where(visible, bias, float("-inf"))
    return Clean(
        torch.where(blind, 0.0, query),
        torch.where(spoilt, 0.0, key),
        torch.where(spoilt, 0.0, value),
        bias,
        spoilt,
        blind,
        sees,
    )


def _seen(call: Call) -> Tensor | None:
    """Which keys any query sees; pairs are looked at only where mask or bias are pairs."""
    there = composed.sees(None, call.bias)
    if there is not None and there.shape[2] != 1:
        visible = call.visible()
        return (there if visible is None else there & visible).any(2)
    there = None if there is None else there[:, :, 0]
    if call.mask is None:
        return there
    batch, heads, queries, _ = call.query.shape
    keys, device = call.key.shape[2], call.query.device
    seen = call.mask.seen(queries, keys, batch=batch, heads=heads, device=device)
    return seen if there is None else there if seen is None else seen & there


def _spoilt(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Rows that are not finite, or of which a product may be too large for a number."""
    sound = (value.abs() < _huge(value.dtype)).all(-1, keepdim=True)  # False for NaN
    if not query.numel() or not key.numel():  # no score is a product
        return ~sound
    most = query.double().abs().nan_to_num(posinf=0.0).amax()
    largest = key.double().abs().amax(-1, keepdim=True) * most * (abs(scale) * key.shape[3])
    return ~(sound & (largest < torch.finfo(key.dtype).max / 4))  # False for NaN


def _sees(seen: Tensor, spoilt: Tensor, query: Tensor) -> Tensor:
    """Which queries see a spoilt key; some queries at a time, because pairs are many."""
    batch, heads, queries, _ = query.shape
    keys = spoilt.shape[2]
    spoilt = share_heads(spoilt, heads)[:, :, None]
    seen = seen.expand(-1, -1, queries, keys)
    step = max(1, MOST // max(1, batch * heads * keys))
    parts = [(part & spoilt).any(-1) for part in seen.split(step, 2)]
    return torch.cat(parts, 2)
