"""Who meets whom by random hashes: sorted by bucket, cut into chunks."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heedful.mask import Mask


class Plan(NamedTuple):
    """Who meets whom, in every round."""

    query_order: Int[Tensor, "rounds batch heads queries"]  # sorted by bucket
    key_order: Int[Tensor, "rounds batch heads keys"]
    query_chunk: Int[Tensor, "rounds batch heads queries"]  # of keys, the later of the two met
    key_chunk: Int[Tensor, "rounds batch heads keys"]
    anchors: Int[Tensor, "rounds batch heads chunks"]  # `query_chunk` of each chunk of queries


def plan_meetings(
    query: Tensor,
    key: Tensor,
    rotations: Tensor,
    chunk: int,
    aligned: bool,
    mask: Mask | None,
) -> Plan:
    """Hash, sort, and say which chunk of keys belongs to which chunk of queries.

    Args:
        query: What is hashed; wide.
        key: What is hashed, once for each query head.
        rotations: For each round.
        chunk: Positions per chunk.
        aligned: Does what hides a key from every query hide the query at its place?
        mask: Which query may see which key. `None` means: all.
    """
    (queries, keys), device = (query.shape[2], key.shape[2]), query.device
    seen = seen_by_any(mask, query, keys, chunk)
    query_bucket = _buckets(query, rotations, seen if aligned else None)
    key_bucket = _buckets(key, rotations, seen)
    query_sorted, query_order = query_bucket.sort(dim=-1, stable=True)
    key_sorted, key_order = key_bucket.sort(dim=-1, stable=True)

    last = torch.arange(1, -(-queries // chunk) + 1, device=device) * chunk - 1
    last = last.clamp(max=queries - 1).expand(*query_order.shape[:3], -1)
    real = seen.sum(-1, keepdim=True) if seen is not None else torch.tensor(keys, device=device)
    if aligned:
        last = torch.minimum(last, (real - 1).clamp(min=0))
    bucket = query_sorted.gather(-1, last)
    # Its place among the queries of its bucket becomes a place among the keys of that bucket.
    above = torch.searchsorted(query_sorted, bucket)
    inside = torch.searchsorted(query_sorted, bucket, right=True) - above
    below = torch.searchsorted(key_sorted, bucket)
    kept = torch.searchsorted(key_sorted, bucket, right=True) - below
    place = below + (last - above) * kept // inside
    anchors = torch.minimum(place, (real - 1).clamp(min=0)) // chunk

    spread = anchors.repeat_interleave(chunk, -1)[..., :queries]
    query_chunk = torch.empty_like(spread).scatter(-1, query_order, spread)
    position = (torch.arange(keys, device=device) // chunk).expand_as(key_order)
    key_chunk = torch.empty_like(position).scatter(-1, key_order, position)
    return Plan(query_order, key_order, query_chunk, key_chunk, anchors)


def _buckets(
    tensor: Float[Tensor, "batch heads length dim"],
    rotations: Float[Tensor, "rounds dim half_buckets"],
    there: Bool[Tensor, "#batch #heads length"] | None,
) -> Int[Tensor, "rounds batch heads length"]:
    """The bucket of every vector in every round; a last one of their own for those not there."""
    with torch.no_grad():
        turned = tensor @ rotations.to(tensor.dtype)[:, None, None]
        bucket = torch.cat([turned, -turned], -1).argmax(-1)
    return bucket if there is None else bucket.masked_fill(~there, 2 * rotations.shape[2])


def seen_by_any(
    mask: Mask | None, query: Tensor, keys: int, chunk: int
) -> Bool[Tensor, "#batch #heads keys"] | None:
    """Which keys at least one query sees; `None`: all."""
    if mask is None:
        return None
    (batch, heads, queries, _), device = query.shape, query.device
    parts = mask.factors(queries, keys, batch=batch, heads=heads, device=device)
    place = torch.arange(keys, device=device)
    if parts is not None:
        if parts.causal != "start":
            return parts.keys
        early = (place < queries)[None, None]
        return early if parts.keys is None else parts.keys & early
    mask.check(queries, keys, batch=batch, heads=heads)
    seen = torch.zeros(1, 1, keys, dtype=torch.bool, device=device)
    row, head = (torch.arange(size, device=device) for size in (batch, heads))
    for start in range(0, queries, chunk):
        looking = torch.arange(start, min(start + chunk, queries), device=device)[:, None]
        visible = mask.at(
            row[:, None, None, None],
            head[:, None, None],
            looking,
            place,
            queries=queries,
            keys=keys,
        )
        visible = visible[(None,) * (4 - visible.ndim)]
        seen = seen | visible.any(-2).expand(-1, -1, keys)
    return seen
