"""Reformer attention: a query meets the keys that a random hash puts near it."""

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._chosen_keys import shares
from heedful.ops._hashing import Plan, plan_meetings
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import aggregate, masked_softmax, share_heads, widen


def reformer_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    rotations: Float[Tensor, "rounds dim half_buckets"],
    chunk: int,
    aligned: bool = False,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh by `softmax_j(scale * query_i . key_j)` the keys that a query meets in any round.

    In every round a vector `x` falls into the bucket `argmax([x R; -x R])`. The keys are sorted by
    bucket and cut into chunks of `chunk`; so are the queries, and a chunk of queries meets the
    chunk of keys in which its last query would stand, and the one before. A key that is met in
    several rounds counts once. Where queries and keys are the same vectors, these are the paper's
    chunks. Unlike in the paper they need not be; keys keep their length; a query meets itself like
    any other key, so one that sees nothing of what it meets gives 0; and the first chunk has none
    before it.

    Keys that no query sees are kept out of the chunks. But *which* keys a query meets depends on
    all others, also on those that only later queries see: with a causal mask nothing of a later
    key is read, yet its bucket moves the borders of chunks. Decoding step by step meets others
    than one pass over the whole text.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        rotations: `R`, random numbers for each round; twice as many buckets as it has columns.
        chunk: Positions per chunk. With all keys in one chunk it is exact.
        aligned: Do query `i` and key `i` stand at the same place? Then a query whose key nobody
            sees is kept out of the chunks too, so that padding cannot matter.
        mask: Which of the keys that it meets a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys that are met, or zeros where there are none.

    Raises:
        ShapeError: The tensors, the rotations or the mask do not fit together, or `aligned` without
            as many queries as keys.
        ConfigError: `chunk < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Kitaev et al. 2020, arXiv:2001.04451, section 2.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    _check_settings(query, key, rotations, chunk, aligned)
    wide, shared = widen(query), _wide_key(query, key)
    plan = plan_meetings(wide, shared, rotations, chunk, aligned, mask)
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    behind = plan.query_chunk[..., None] - plan.key_chunk[..., None, :]
    met = ((behind == 0) | (behind == 1)).any(0)
    seen = Mask.dense(met) if mask is None else Mask.dense(met) & mask
    return masked_softmax(wide * factor @ shared.mT, seen).to(query.dtype)


@hidden_kept_out
def reformer_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    rotations: Float[Tensor, "rounds dim half_buckets"],
    chunk: int,
    aligned: bool = False,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `reformer_weights`, without the matrix of all weights.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        rotations: `R`, random numbers for each round; twice as many buckets as it has columns.
        chunk: Positions per chunk. With all keys in one chunk it is exact.
        aligned: Do query `i` and key `i` stand at the same place? Then a query whose key nobody
            sees is kept out of the chunks too, so that padding cannot matter.
        mask: Which of the keys that it meets a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing that is met is
        visible.

    Raises:
        ShapeError: The tensors, the rotations or the mask do not fit together, or `aligned` without
            as many queries as keys.
        ConfigError: `chunk < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Kitaev et al. 2020, arXiv:2001.04451, section 2.

    Cost:
        `2 * chunk` scores a query and round, and as many buckets as there are for the hash: linear
        in both lengths, but for the sorting. The mask is looked up for these pairs; one that is
        more than causal and a choice of keys, once for every pair, piece by piece, to find keys
        that nobody sees. Approximate.
    """
    check_qkv(query, key, value)
    _check_settings(query, key, rotations, chunk, aligned)
    wide, shared = widen(query), _wide_key(query, key)
    if not key.shape[2]:  # and no chunk to meet
        return aggregate(masked_softmax(wide @ shared.mT, mask), value, query.dtype)
    plan = plan_meetings(wide, shared, rotations, chunk, aligned, mask)
    wide = wide * (1 / math.sqrt(query.shape[3]) if scale is None else scale)
    values = share_heads(value.to(wide.dtype), query.shape[1])
    outputs: list[Tensor] = []
    totals: list[Tensor] = []
    for turn in range(len(rotations)):
        output, total = _round(wide, shared, values, plan, turn, chunk, mask)
        outputs.append(output)
        totals.append(total)
    # A round in which a query meets nothing new has the lowest number for a sum, and zeros to add.
    given = torch.stack(totals, -1).softmax(-1)
    return (torch.stack(outputs, -1) * given[..., None, :]).sum(-1).to(query.dtype)


def _round(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: Plan,
    turn: int,
    chunk: int,
    mask: Mask | None,
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
    """What one round adds: the mean of the values, and the logarithm of the sum of `exp`."""
    batch, heads, queries, _ = query.shape
    looking, looking_there = _cut(plan.query_order[turn], chunk)
    kept, kept_there = _cut(plan.key_order[turn], chunk)
    anchor = plan.anchors[turn]
    both = torch.stack([anchor - 1, anchor], -1)
    met = _take(kept, both.clamp(min=0).flatten(2)).unflatten(2, (-1, 2)).flatten(3)
    there = kept_there[both.clamp(min=0)] & (both >= 0)[..., None]

    rows = torch.arange(batch, device=query.device)[:, None, None, None]
    columns = torch.arange(heads, device=query.device)[:, None, None]
    scores = query[rows, columns, looking] @ key[rows, columns, met].mT
    pair = (rows[..., None], columns[..., None], looking[..., None], met[..., None, :])
    fresh = there.flatten(3)[..., None, :] & looking_there[..., None]
    for earlier in range(turn):
        behind = plan.query_chunk[earlier][pair[:3]] - plan.key_chunk[earlier][(*pair[:2], pair[3])]
        fresh = fresh & (behind != 0) & (behind != 1)
    if mask is not None:
        fresh = fresh & mask.at(*pair, queries=queries, keys=key.shape[2])
    weights = shares(scores, fresh)
    lowest = torch.finfo(scores.dtype).min
    total = scores.masked_fill(~fresh, lowest).logsumexp(-1)
    output = weights @ value[rows, columns, met]
    # Back from sorted to the order of the text.
    order = plan.query_order[turn]
    place = torch.arange(queries, device=query.device)
    back = torch.empty_like(order).scatter(-1, order, place.expand_as(order))
    return _take(output.flatten(2, 3), back), total.flatten(2).gather(-1, back)


def _cut(
    order: Int[Tensor, "batch heads length"], chunk: int
) -> tuple[Int[Tensor, "batch heads chunks chunk"], Bool[Tensor, "chunks chunk"]]:
    """Chunks of the sorted positions, the last one filled up; and which are not filling."""
    length = order.shape[2]
    filled = torch.nn.functional.pad(order, (0, -length % chunk))
    there = torch.arange(filled.shape[2], device=order.device) < length
    return filled.unflatten(2, (-1, chunk)), there.unflatten(0, (-1, chunk))


def _take(
    tensor: Shaped[Tensor, "batch heads length dim"], rows: Int[Tensor, "batch heads chosen"]
) -> Shaped[Tensor, "batch heads chosen dim"]:
    """Rows of every head."""
    return tensor.gather(2, rows[..., None].expand(*rows.shape, tensor.shape[3]))


def _wide_key(query: Tensor, key: Tensor) -> Float[Tensor, "batch heads keys dim"]:
    return share_heads(key.to(widen(query).dtype), query.shape[1])


def _check_settings(
    query: Tensor, key: Tensor, rotations: Tensor, chunk: int, aligned: bool
) -> None:
    queries, keys, dim = query.shape[2], key.shape[2], query.shape[3]
    shape = tuple(rotations.shape)
    if len(shape) != 3 or shape[0] < 1 or shape[1] != dim or shape[2] < 1:
        raise ShapeError(
            f"rotations must have shape (rounds, dim={dim}, half_buckets), none of them 0, "
            f"got {shape}"
        )
    if not rotations.is_floating_point():
        raise ConfigError(f"rotations must be floating-point, got {rotations.dtype}")
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1, got {chunk}")
    if aligned and queries != keys:
        raise ShapeError(f"aligned needs as many queries as keys, got {queries} and {keys}")
