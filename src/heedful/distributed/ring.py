"""Ring attention: exact attention over a text that several processes hold a part of each."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.distributed import ProcessGroup

from heedful.distributed._agreement import agreed
from heedful.distributed._exchange import Exchange
from heedful.distributed._part import Part
from heedful.distributed.zigzag import Ring, cells, ring_of
from heedful.kernels import hidden
from heedful.kernels.attend import attend
from heedful.kernels.composed import wide
from heedful.listeners import may_look
from heedful.mask import Mask

NEVER = float("-inf")
# Positions that a kernel gets at once, at most: what it needs beside the result grows with queries,
# and it shares out keys among its threads.
QUERIES, KEYS = 2_048, 4_096


def ring_attend(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    scale: float | None = None,
    group: ProcessGroup | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attend over a text of which every process holds the positions that `shard` gives it.

    The same as `heedful.attend` of the whole text, cut by `shard`: keys and values go around the
    ring of processes one key/value head after the other, and what each of them adds is merged by
    the logarithm of the sums. All processes call it in the same order, forward and backward.

    A NaN or inf at a key or value that no query of the whole text sees changes nothing.

    Args:
        query: This process's positions of what is looked for.
        key: Its positions of what is looked at; `kv_heads` divides `heads`.
        value: Its positions of what is returned.
        mask: Of the whole text, the same in all processes. `None` means: all is visible.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.
        group: The processes that share the text. `None` means: all.

    Returns:
        The output at this process's queries, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or the processes do not hold one
            text, each its own positions; in all processes alike.
        ConfigError: A tensor is not floating-point, `mask` is no `Mask`, a length of it exceeds
            the keys, or there is no process group that this process is in.
        UnsupportedError: Query, key and value differ in dtype or device.

    Source:
        Liu et al. 2023, arXiv:2310.01889, section 3 (the ring).
        Dao 2023, arXiv:2307.08691, section 3.1 (gradients by the logarithm of the sums).

    Cost:
        Exact. Each process stores its share of everything, and in flight twice two key/value heads
        of it; every key and value is sent once to each process, and in the backward pass so are
        their gradients. On a CPU the native kernel computes; elsewhere, and in double precision,
        plain operations block by block.
    """
    ring = ring_of(group)
    call, whole = agreed(ring, query, key, value, mask, scale)
    if ring.size == 1:
        return attend(query, key, value, mask=mask, scale=scale)
    plan = _Plan(ring, Mask.full() if mask is None else mask, call.scale, query.shape[1], *whole)
    key, value = call.key, call.value
    if mask is not None and not (may_look(key, value) and hidden.calm(key, value)):
        seen = mask.seen(*whole, batch=key.shape[0], heads=plan.heads, device=key.device)
        if seen is not None:
            own = [i for cell in plan.keys_of(ring.rank) for i in cell]
            seen = seen[:, :, torch.tensor(own, device=key.device).long()]
            key, value = hidden.unseen(key, value, seen, plan.heads)
    return _Ring.apply(call.query, key, value, plan)  # pyright: ignore[reportReturnType]


class _Plan(NamedTuple):
    """What every step must know of the whole.

    Args:
        ring: The processes.
        mask: Of the whole text.
        scale: Factor of the dot product.
        heads: Of the queries.
        queries: Of the whole text.
        keys: Of the whole text.
    """

    ring: Ring
    mask: Mask
    scale: float
    heads: int
    queries: int
    keys: int

    def own_queries(self) -> tuple[range, range]:
        """The two cells of queries of this process."""
        return cells(self.queries, self.ring.rank, self.ring.size)

    def keys_of(self, rank: int) -> tuple[range, range]:
        """The two cells of keys that a process holds."""
        return cells(self.keys, rank % self.ring.size, self.ring.size)

    def length_of(self, rank: int) -> int:
        """How many keys a process holds."""
        return sum(map(len, self.keys_of(rank)))

    def part(self, tensors: tuple[Tensor, ...], heads: range, queries: range, keys: range) -> Part:
        """One cell of queries and one of keys: a part of the whole."""
        whole = self.heads, self.queries, self.keys
        mask = self.mask.cut(heads=heads, queries=queries, keys=keys, whole=whole)
        return Part(tensors[0], tensors[1], tensors[2], mask, self.scale)


class _Ring(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan) -> Tensor:
        output = query.new_empty(*query.shape[:3], value.shape[3])
        log_sum = query.new_empty(query.shape[:3], dtype=wide(query.dtype))
        for head in range(key.shape[1]):
            heads = _served(plan, head, key)
            some = slice(heads.start, heads.stop)
            pair = key[:, head : head + 1], value[:, head : head + 1]
            output[:, some], log_sum[:, some] = _around(query[:, some], pair, plan, heads)
        ctx.save_for_backward(query, key, value, output, log_sum)
        ctx.plan = plan
        return output

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, by_output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, output, log_sum = ctx.saved_tensors
        by_query, by_key, by_value = (torch.zeros_like(each) for each in (query, key, value))
        for head in range(key.shape[1]):
            heads = _served(ctx.plan, head, key)
            some, one = slice(heads.start, heads.stop), slice(head, head + 1)
            rows = [x[:, some] for x in (query, by_output, output, log_sum)]
            turned = [by_query[:, some], by_key[:, one], by_value[:, one]]
            sums = [x.to(log_sum.dtype) for x in turned]  # themselves, where that is their dtype
            _back_around(rows, (key[:, one], value[:, one]), sums, ctx.plan, heads)
            for whole, found in zip(turned, sums, strict=True):
                if found is not whole:
                    whole.copy_(found)
        return by_query, by_key, by_value, None


def _served(plan: _Plan, head: int, key: Tensor) -> range:
    """The query heads that share a key/value head."""
    shared = plan.heads // key.shape[1]
    return range(head * shared, (head + 1) * shared)


def _around(
    query: Tensor, pair: tuple[Tensor, ...], plan: _Plan, heads: range
) -> tuple[Tensor, Tensor]:
    """Let one key/value head visit all processes; output and logarithms at this one's queries."""
    ring = plan.ring
    output = query.new_zeros(*query.shape[:3], pair[1].shape[3], dtype=wide(query.dtype))
    log_sum = output.new_full(output.shape[:3], NEVER)
    for step in range(ring.size):
        source, coming = ring.rank - step, None
        if step + 1 < ring.size:
            coming = Exchange.begin(ring, pair, length=plan.length_of(source - 1))
        for queries, rows in _laid_out(plan.own_queries(), most=QUERIES):
            for keys, columns in _laid_out(plan.keys_of(source), most=KEYS):
                tensors = query[:, :, rows], *(x[:, :, columns] for x in pair)
                found = plan.part(tensors, heads, queries, keys).forward()
                if found is not None:
                    _merge(output[:, :, rows], log_sum[:, :, rows], *found)
        if coming is not None:
            pair = (*coming.wait(),)
    return output, log_sum


def _back_around(
    rows: list[Tensor], pair: tuple[Tensor, ...], sums: list[Tensor], plan: _Plan, heads: range
) -> None:
    """Let one key/value head visit all processes once more, and collect what each of them owes it.

    Args:
        rows: Query, gradient of the output, output and logarithms, of this process.
        pair: Its key and its value, of one head.
        sums: The gradients of query, key and value, to which is added.
        plan: Of the whole.
        heads: The query heads that the pair serves.
    """
    ring = plan.ring
    by_query, *by_pair = sums
    owed: Exchange | None = None
    for step in range(ring.size):
        source, coming = ring.rank - step, None
        if step + 1 < ring.size:
            coming = Exchange.begin(ring, pair, length=plan.length_of(source - 1))
        # of its own keys they stay; of the keys of others they travel on, to whom they belong
        turned = by_pair if step == 0 else [torch.zeros_like(x, dtype=by_query.dtype) for x in pair]
        for queries, here in _laid_out(plan.own_queries(), most=QUERIES):
            for keys, there in _laid_out(plan.keys_of(source), most=KEYS):
                query, *rest = (x[:, :, here] for x in rows)
                tensors = query, *(x[:, :, there] for x in pair)
                found = plan.part(tensors, heads, queries, keys).backward(*rest)
                if found is not None:
                    _add([by_query[:, :, here], *(x[:, :, there] for x in turned)], found)
        if step:
            if owed is not None:
                _add(turned, owed.wait())
            owed = Exchange.begin(ring, turned, length=plan.length_of(source - 1))
        if coming is not None:
            pair = (*coming.wait(),)
    if owed is not None:
        _add(by_pair, owed.wait())


def _laid_out(cells: tuple[range, range], *, most: int) -> Iterator[tuple[range, slice]]:
    """Positions in the whole, and where they are in what their process holds, some at a time."""
    held = 0
    for cell in cells:
        for start in range(0, len(cell), most):
            some = cell[start : start + most]
            yield some, slice(held + start, held + start + len(some))
        held += len(cell)


def _merge(output: Tensor, log_sum: Tensor, part: Tensor, part_log_sum: Tensor) -> None:
    """Add a part of the keys, in place: see `heedful.ops.blockwise.merge`."""
    base = torch.maximum(log_sum, part_log_sum)
    base = base.masked_fill(base == NEVER, 0.0)
    before, now = (log_sum - base).exp(), (part_log_sum - base).exp()
    total = before + now
    log_sum.copy_(total.log() + base)
    total = total.masked_fill(total == 0, 1.0)
    output *= (before / total)[..., None]
    output += part * (now / total)[..., None].to(part.dtype)


def _add(sums: list[Tensor], more: Sequence[Tensor]) -> None:
    for one, other in zip(sums, more, strict=True):
        one += other
