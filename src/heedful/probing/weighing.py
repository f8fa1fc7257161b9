"""Weights computed again, a block of rows at a time, from the queries and keys that were used."""

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.probing.outline import Outline, outline_of, seen_by
from heedful.probing.parts import Part, Room, quiet, wide


class Block(NamedTuple):
    """The weights of one part, in memory that the next block uses again.

    Args:
        part: Which part.
        weights: `(batch, heads, rows, seen)`; keys from `seen` on have weight 0.
        counts: `(batch, heads, rows)`: the keys that each row may see.
        scores: Of a softmax: what differs from the logarithm of the weights by one number a row,
            and is finite where the weight is 0.
    """

    part: Part
    weights: Tensor
    counts: Tensor
    scores: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Weigher(abc.ABC):
    """How one call weighed: what it takes to compute its weights again.

    Args:
        batch: Batch rows.
        heads: The numbers of the heads that were kept.
        rows: The numbers of the query rows that were kept.
        queries: Query rows that there were.
        keys: Number of keys.
        kv_heads: Which head of the kept keys and values each of them has.
        own: Do queries look at their own keys, the last ones?
        outline: Where the text is, of the rows that were kept; `None` where no tensor told.
    """

    batch: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    rows: Tensor
    queries: int
    keys: int
    own: bool = False
    outline: Outline | None = None

    signed = False  # may a weight be negative?

    @property
    def position(self) -> Tensor:
        """At which key each row stands: the last query at the last key that is no empty room."""
        end = self.keys if self.outline is None else self.outline.end
        return self.rows + (end - self.queries)

    @property
    def ruled_by(self) -> Mask | None:
        """Heedful's mask, where one says who may see whom."""
        return None

    @cached_property
    def text(self) -> Outline | None:
        """Where the text is; `None` where every row and every key is text."""
        mask = self.ruled_by
        if self.outline is not None or not self.own or mask is None:
            return self.outline
        device = self.rows.device
        size = {"batch": self.batch, "queries": self.queries}
        heads = max(self.heads, default=0) + 1
        seen = seen_by(mask, **size, heads=heads, keys=self.keys, device=device)
        whole = outline_of(seen, **size, end=torch.tensor(self.keys, device=device))
        return whole._replace(padding=whole.padding[:, self.rows])

    def shared(self, tensor: Tensor, part: Part) -> Tensor:
        """Of kept keys or values, those that each head of a part has."""
        chosen = [self.kv_heads[head] for head in part.heads]
        tensor = tensor[part.batch]
        return tensor[:, chosen[0] : chosen[0] + 1] if len(chosen) == 1 else tensor[:, chosen]

    @abc.abstractmethod
    def blocks(self, cut: Iterable[Part], room: Room) -> Iterator[Block]:
        """Compute the weights of one part after the other, in `room`."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which key a row may see, and what is added to the scores; axes of size 1 stand for all.

    Args:
        mask: By heedful's mask.
        visible: True = attend, each `(batch, heads, rows, keys)`.
        added: What is added to the scores, each `(batch, heads, rows, keys)`.
        causal: Row `i` sees the keys up to `i`, counted from the first: torch's own switch.
        uniform: Does a row that sees nothing get equal weights, because the lowest number was
            added to all of its scores, and not 0?
    """

    mask: Mask | None = None
    visible: tuple[Tensor, ...] = ()
    added: tuple[Tensor, ...] = ()
    causal: bool = False
    uniform: bool = False


@dataclass(frozen=True, kw_only=True)
class ScaledDot(Weigher):
    """Softmax of scaled products, with all that may be done to scores on the way.

    Args:
        query: `(batch, heads, rows, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        scale: Factor of the product.
        rules: Who sees whom.
        softcap: Scores go through `softcap * tanh(score / softcap)`.
        sinks: A score of nothing, which takes its share of the weights,
            `(#batch, heads, #rows, 1)`.
    """

    query: Tensor
    key: Tensor
    scale: float
    rules: Rules = field(default_factory=Rules)
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def position(self) -> Tensor:
        return self.rows if self.rules.causal else super().position

    @property
    def ruled_by(self) -> Mask | None:
        return self.rules.mask

    def blocks(self, cut: Iterable[Part], room: Room) -> Iterator[Block]:
        held: tuple[slice, tuple[int, ...]] | None = None
        key = self.key
        for part in cut:
            with quiet(key.device):
                if held != (part.batch, part.heads):
                    held = (part.batch, part.heads)
                    key = self._keys(part)
                block = self._block(part, key, room)
            yield block

    def _keys(self, part: Part) -> Tensor:
        return wide(self.shared(self.key, part)).flatten(0, 1)

    def _block(self, part: Part, key: Tensor, room: Room) -> Block:
        rows = self.rows[part.rows]
        seen = min(self.keys, int(rows.max()) + 1) if self.rules.causal else self.keys
        query = wide(_pick(self.query, part)) * self.scale
        shape = (*query.shape[:3], seen)
        scores = room.take("scores", shape, query)
        torch.bmm(query.flatten(0, 1), key[:, :seen].mT, out=scores.flatten(0, 1))
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        visible = counted = self._visible(part, seen)
        for bias in self.rules.added:
            bias = _pick(bias, part)[..., :seen]
            scores += bias
            above = bias > torch.finfo(bias.dtype).min
            counted = above if counted is None else counted & above
        counts = self._counts(counted, rows, shape, scores)
        self._hide(scores, visible, rows)
        weights = torch.softmax(scores, -1, out=room.take("weights", shape, query))
        if not self.rules.uniform and (counts == 0).any():
            weights.masked_fill_((counts == 0)[..., None], 0.0)
        if self.sinks is not None:
            sinks = wide(_pick(self.sinks, part))
            weights *= (scores.logsumexp(-1, keepdim=True) - sinks).sigmoid()
        return Block(part, weights, counts, scores)

    def _visible(self, part: Part, seen: int) -> Tensor | None:
        visible = None
        if self.rules.mask is not None:
            visible = look_up(self.rules.mask, self, part)[..., :seen]
        for given in self.rules.visible:
            given = _pick(given, part)[..., :seen]
            visible = given if visible is None else visible & given
        return visible

    def _hide(self, scores: Tensor, visible: Tensor | None, rows: Tensor) -> None:
        hidden = torch.finfo(
            scores.dtype
        ).min  # and not -inf, since -inf times weight 0 is no number
        if self.rules.added:
            scores.clamp_(min=hidden)
        if visible is not None:
            scores.masked_fill_(~visible, hidden)
        if self.rules.causal:
            first = int(rows.min()) + 1  # every row of the block sees all keys before
            ahead = torch.arange(first, scores.shape[3], device=rows.device) > rows[:, None]
            scores[..., first:].masked_fill_(ahead, hidden)

    def _counts(
        self, visible: Tensor | None, rows: Tensor, shape: Sequence[int], like: Tensor
    ) -> Tensor:
        seen = shape[3]
        if visible is None:
            counts = (rows + 1).clamp(max=seen) if self.rules.causal else rows.new_full((), seen)
        else:
            if self.rules.causal:
                visible = visible & (torch.arange(seen, device=rows.device) <= rows[:, None])
            counts = visible.to(like.dtype).sum(-1)
        return counts.to(like.dtype).expand(shape[:3])


def look_up(mask: Mask, weigher: Weigher, part: Part) -> Tensor:
    """True = attend, `(batch, heads, rows, keys)`, or 1 for an axis that does not matter."""
    rows = weigher.rows[part.rows]
    heads = torch.tensor([weigher.heads[head] for head in part.heads], device=rows.device)
    batch = torch.arange(part.batch.start, part.batch.stop, device=rows.device)
    visible = mask.at(
        batch[:, None, None, None],
        heads[:, None, None],
        rows[:, None],
        torch.arange(weigher.keys, device=rows.device),
        queries=weigher.queries,
        keys=weigher.keys,
    )
    visible = visible[(None,) * (4 - visible.ndim)]
    return visible.expand(*visible.shape[:2], len(rows), weigher.keys)


def _pick(tensor: Tensor, part: Part) -> Tensor:
    """The part of a tensor in which an axis of size 1 stands for all."""
    if tensor.shape[0] != 1:
        tensor = tensor[part.batch]
    if tensor.shape[1] != 1:
        first = part.heads[0]
        one = len(part.heads) == 1
        tensor = tensor[:, first : first + 1] if one else tensor[:, list(part.heads)]
    return tensor if tensor.shape[2] == 1 else tensor[:, :, part.rows]
