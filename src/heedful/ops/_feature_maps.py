"""Attention whose weights are products of positive features: sums over keys, never all pairs.

A weight is `phi(q) . phi(k)` over the sum of these. All that is here takes the logarithms of the
features, and divides every sum by its largest term before it is made: so no denominator vanishes,
however large or small the features are. What a sum was divided by cancels, and has no gradient.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from heedful.errors import UnsupportedError
from heedful.mask import Factors, Mask
from heedful.ops._softmax import share_heads, widen

CHUNK = 64  # keys that causal queries meet one by one, before these are summed up


class Sums(NamedTuple):
    """Sums over some keys, of all columns of their values and of a column of ones.

    Args:
        total: The sums, one row for each feature or each query.
        size: Logarithm of what the row was divided by.
    """

    total: Float[Tensor, "*axes rows columns"]
    size: Float[Tensor, "*axes rows 1"]


def time_and_keys(mask: Mask | None, query: Tensor, key: Tensor, *, name: str) -> Factors:
    """What the mask says, as an order of time and a choice of keys.

    Raises:
        UnsupportedError: It says something else.
        ShapeError: The mask does not fit.
        ConfigError: A length of the mask exceeds the number of keys.
    """
    if mask is None:
        return Factors(None, None)
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    parts = mask.factors(queries, keys, batch=batch, heads=heads, device=query.device)
    if parts is None:
        raise UnsupportedError(
            f"mask must be causal, a choice of keys or both because {name} attention sums keys up "
            f"before a query meets them, got {mask}"
        )
    return parts


def visible_rows(
    key: Tensor, query: Tensor, seen: Factors
) -> Float[Tensor, "batch heads keys dim"]:
    """The keys of every query head, wide, with zeros for the hidden ones, whatever stood there."""
    shared = share_heads(key.to(widen(query).dtype), query.shape[1])
    return shared if seen.keys is None else shared.masked_fill(~seen.keys[..., None], 0.0)


def attend(
    log_query: Float[Tensor, "batch heads queries features"],
    log_key: Float[Tensor, "batch heads keys features"],
    value: Float[Tensor, "#batch #heads keys value_dim"],
    seen: Factors,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """The weighted sum of `value`; 0 where nothing is visible.

    Args:
        log_query: Logarithms of the features of queries; what a row is shifted by does not matter.
        log_key: Logarithms of the features of keys.
        value: What is returned.
        seen: What is visible.
    """
    value = _with_ones(value)
    lowest = _lowest(log_key)
    if seen.keys is not None:
        hidden = ~seen.keys[..., None]
        log_key, value = log_key.masked_fill(hidden, lowest), value.masked_fill(hidden, 0.0)
    queries, keys = log_query.shape[2], log_key.shape[2]
    if seen.causal is None:
        missing = (0, 0, 0, int(keys == 0))  # one that is hidden, where there is none at all
        sums = _sum_up(pad(log_key, missing, value=lowest), pad(value, missing))
        return _shares(_ask(log_query, sums))
    first = keys - queries if seen.causal == "end" else 0
    before = _sum_up(log_key[:, :, :first], value[:, :, :first]) if first > 0 else None
    # As many keys as queries: those before are summed up, those after are seen by nobody, and the
    # missing ones are hidden.
    square = (0, 0, -first, queries + first - keys)
    part, _ = _causal(log_query, pad(log_key, square, value=lowest), pad(value, square), before)
    return _shares(part)


def weigh(
    log_query: Float[Tensor, "batch heads queries features"],
    log_key: Float[Tensor, "batch heads keys features"],
    seen: Factors,
) -> Float[Tensor, "batch heads queries keys"]:
    """The weights: what a query gets when every key holds a one of its own."""
    keys = log_key.shape[2]
    each = torch.eye(keys, dtype=log_key.dtype, device=log_key.device)[None, None]
    return attend(log_query, log_key, each, seen)


def advance(
    log_query: Float[Tensor, "batch heads queries features"],
    log_key: Float[Tensor, "batch heads queries features"],
    value: Float[Tensor, "batch heads queries value_dim"],
    before: Sums | None,
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Sums]:
    """Causal attention to the keys summed up before and to the new ones, and the sums of all."""
    part, after = _causal(log_query, log_key, _with_ones(value), before)
    return _shares(part), after


def _causal(
    log_query: Tensor, log_key: Tensor, value: Tensor, before: Sums | None
) -> tuple[Sums, Sums]:
    """What every query sees of as many keys, and of those before; and the sums of all keys."""
    length = log_query.shape[2]
    chunk = min(CHUNK, 1 << max(length - 1, 0).bit_length())
    count = max(-(-length // chunk), 1)
    rest = (0, 0, 0, count * chunk - length)
    query = pad(log_query, rest).unflatten(2, (count, chunk))
    key = pad(log_key, rest, value=_lowest(log_key)).unflatten(2, (count, chunk))
    value = pad(value, rest).unflatten(2, (count, chunk))
    each = _sum_up(key, value)
    nothing = Sums(
        torch.zeros_like(each.total[:, :, 0]),
        torch.full_like(each.size[:, :, 0], _lowest(log_key)),
    )
    sums = nothing if before is None else before
    past: list[Sums] = []
    # Not by indexing, the gradient of which is, for each chunk, as large as all chunks.
    for total, size in zip(each.total.unbind(2), each.size.unbind(2), strict=True):
        past.append(sums)
        sums = _add(sums, Sums(total, size))
    earlier = Sums(torch.stack([s.total for s in past], 2), torch.stack([s.size for s in past], 2))
    part = _add(_inside(query, key, value), _ask(query, earlier))
    return Sums(*(x.flatten(2, 3)[:, :, :length] for x in part)), sums


def _inside(query: Tensor, key: Tensor, value: Tensor) -> Sums:
    """What the queries of a chunk see of its keys.

    First every query sees its own key. Then, of blocks of one, two, four... positions, the queries
    of every second block see all keys of the block before. So nobody meets what it must not see,
    not even to multiply it by zero.
    """
    own = query + key
    size = own.detach().amax(-1, keepdim=True)
    part = Sums((own - size).exp().sum(-1, keepdim=True) * value, size)
    chunk, width = query.shape[-2], 1
    while width < chunk:
        pairs = (chunk // (2 * width), 2, width)
        late = query.unflatten(-2, pairs).unbind(-3)[1]
        early, summed = (x.unflatten(-2, pairs).unbind(-3)[0] for x in (key, value))
        total, size = (x.unflatten(-2, pairs).unbind(-3) for x in part)
        more = _add(Sums(total[1], size[1]), _meet(late, early, summed))
        part = Sums(
            torch.stack((total[0], more.total), -3).flatten(-4, -2),
            torch.stack((size[0], more.size), -3).flatten(-4, -2),
        )
        width *= 2
    return part


def _sum_up(log_key: Tensor, value: Tensor) -> Sums:
    """Sums over the keys, for each feature."""
    size = log_key.detach().amax(-2, keepdim=True).mT
    return Sums((log_key.mT - size).exp() @ value, size)


def _ask(log_query: Tensor, sums: Sums) -> Sums:
    """What each query takes of the sums of all features."""
    features, size = _features(log_query, sums.size.mT)
    return Sums(features @ sums.total, size)


def _meet(log_query: Tensor, log_key: Tensor, value: Tensor) -> Sums:
    """`_ask` of `_sum_up`, pair by pair: cheaper while keys are fewer than features."""
    largest = log_key.detach().amax(-2, keepdim=True)
    features, size = _features(log_query, largest)
    return Sums(features @ (log_key - largest).exp().mT @ value, size)


def _features(log_query: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """The features of queries for sums that were divided, each row by its largest."""
    raised = log_query + largest
    size = raised.detach().amax(-1, keepdim=True)
    return (raised - size).exp(), size


def _add(first: Sums, second: Sums) -> Sums:
    size = torch.maximum(first.size, second.size)
    total = first.total * (first.size - size).exp() + second.total * (second.size - size).exp()
    return Sums(total, size)


def _shares(sums: Sums) -> Tensor:
    """The sums of values, divided by those of ones: at least 1, or 0 where nothing is visible."""
    ones = sums.total[..., -1:]
    return sums.total[..., :-1] / ones.masked_fill(ones == 0, 1.0)


def _with_ones(value: Tensor) -> Tensor:
    return pad(value, (0, 1), value=1.0)


def _lowest(tensor: Tensor) -> float:
    """The logarithm of nothing: half the lowest number, so that another one can be added."""
    return torch.finfo(tensor.dtype).min / 2
