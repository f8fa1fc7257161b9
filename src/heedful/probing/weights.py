"""Attention weights recomputed tile by tile from the captured queries and keys."""

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.mask import Mask
from heedful.probing.text_bounds import TextBounds, seen_by, text_bounds_of
from heedful.probing.tiles import Tile, Workspace, upcast, without_grad_and_autocast


class WeightsTile(NamedTuple):
    """The weights of one tile, in memory that the next tile uses again.

    Args:
        tile: Which one.
        weights: `(batch, heads, rows, seen)`; keys from `seen` on have weight 0.
        counts: `(batch, heads, rows)`: the keys that each row may see.
        scores: Of a softmax: what differs from the logarithm of the weights by one number a row,
            and is finite where the weight is 0.
    """

    tile: Tile
    weights: Tensor
    counts: Tensor
    scores: Tensor | None


@dataclass(frozen=True, kw_only=True)
class AttentionWeights(abc.ABC):
    """The weights of one call, recomputed on demand.

    Args:
        batch: Batch rows.
        heads: The numbers of the heads that were kept.
        rows: The numbers of the query rows that were kept.
        queries: Query rows that there were.
        keys: Number of keys.
        kv_heads: Which head of the kept keys and values each of them has.
        self_attention: Do queries look at their own keys, the last ones?
        bounds: Where the text is, of the rows that were kept; `None` where no tensor says so.
    """

    batch: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    rows: Tensor
    queries: int
    keys: int
    self_attention: bool = False
    bounds: TextBounds | None = None

    signed = False  # may a weight be negative?

    @property
    def position(self) -> Tensor:
        """At which key each row stands: the last query at the last key that is no empty room."""
        end = self.keys if self.bounds is None else self.bounds.end
        return self.rows + (end - self.queries)

    @property
    def ruled_by(self) -> Mask | None:
        """Heedful's mask, where one says who may see whom."""
        return None

    @cached_property
    def text(self) -> TextBounds | None:
        """Where the text is; `None` where every row and every key is text."""
        mask = self.ruled_by
        if self.bounds is not None or not self.self_attention or mask is None:
            return self.bounds
        device = self.rows.device
        size = {"batch": self.batch, "queries": self.queries}
        heads = max(self.heads, default=0) + 1
        seen = seen_by(mask, **size, heads=heads, keys=self.keys, device=device)
        whole = text_bounds_of(seen, **size, end=torch.tensor(self.keys, device=device))
        return whole._replace(padding=whole.padding[:, self.rows])

    def shared(self, tensor: Tensor, tile: Tile) -> Tensor:
        """Of kept keys or values, those that each head of a tile has."""
        chosen = [self.kv_heads[head] for head in tile.heads]
        tensor = tensor[tile.batch]
        return tensor[:, chosen[0] : chosen[0] + 1] if len(chosen) == 1 else tensor[:, chosen]

    @abc.abstractmethod
    def tiles(self, cut: Iterable[Tile], workspace: Workspace) -> Iterator[WeightsTile]:
        """Compute the weights of one tile after the other, in `workspace`."""


@dataclass(frozen=True, kw_only=True)
class Masking:
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
class ScaledDotWeights(AttentionWeights):
    """Softmax of scaled products, with all that may be done to scores on the way.

    Args:
        query: `(batch, heads, rows, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        scale: Factor of the product.
        masking: Who sees whom.
        softcap: Scores go through `softcap * tanh(score / softcap)`.
        sinks: A score of nothing, which takes its share of the weights,
            `(#batch, heads, #rows, 1)`.
    """

    query: Tensor
    key: Tensor
    scale: float
    masking: Masking = field(default_factory=Masking)
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def position(self) -> Tensor:
        return self.rows if self.masking.causal else super().position

    @property
    def ruled_by(self) -> Mask | None:
        return self.masking.mask

    def tiles(self, cut: Iterable[Tile], workspace: Workspace) -> Iterator[WeightsTile]:
        held: tuple[slice, tuple[int, ...]] | None = None
        key = self.key
        for tile in cut:
            with without_grad_and_autocast(key.device):
                if held != (tile.batch, tile.heads):
                    held = (tile.batch, tile.heads)
                    key = self._keys(tile)
                block = self._block(tile, key, workspace)
            yield block

    def _keys(self, tile: Tile) -> Tensor:
        return upcast(self.shared(self.key, tile)).flatten(0, 1)

    def _block(self, tile: Tile, key: Tensor, workspace: Workspace) -> WeightsTile:
        rows = self.rows[tile.rows]
        seen = min(self.keys, int(rows.max()) + 1) if self.masking.causal else self.keys
        query = upcast(_pick(self.query, tile)) * self.scale
        shape = (*query.shape[:3], seen)
        scores = workspace.buffer("scores", shape, query)
        torch.bmm(query.flatten(0, 1), key[:, :seen].mT, out=scores.flatten(0, 1))
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        visible = counted = self._visible(tile, seen)
        for bias in self.masking.added:
            bias = _pick(bias, tile)[..., :seen]
            scores += bias
            above = bias > torch.finfo(bias.dtype).min
            counted = above if counted is None else counted & above
        counts = self._counts(counted, rows, shape, scores)
        self._hide(scores, visible, rows)
        weights = torch.softmax(scores, -1, out=workspace.buffer("weights", shape, query))
        if not self.masking.uniform and (counts == 0).any():
            weights.masked_fill_((counts == 0)[..., None], 0.0)
        if self.sinks is not None:
            sinks = upcast(_pick(self.sinks, tile))
            weights *= (scores.logsumexp(-1, keepdim=True) - sinks).sigmoid()
        return WeightsTile(tile, weights, counts, scores)

    def _visible(self, tile: Tile, seen: int) -> Tensor | None:
        visible = None
        if self.masking.mask is not None:
            visible = look_up(self.masking.mask, self, tile)[..., :seen]
        for given in self.masking.visible:
            given = _pick(given, tile)[..., :seen]
            visible = given if visible is None else visible & given
        return visible

    def _hide(self, scores: Tensor, visible: Tensor | None, rows: Tensor) -> None:
        hidden = torch.finfo(
            scores.dtype
        ).min  # and not -inf, since -inf times weight 0 is no number
        if self.masking.added:
            scores.clamp_(min=hidden)
        if visible is not None:
            scores.masked_fill_(~visible, hidden)
        if self.masking.causal:
            first = int(rows.min()) + 1  # every row of the block sees all keys before
            ahead = torch.arange(first, scores.shape[3], device=rows.device) > rows[:, None]
            scores[..., first:].masked_fill_(ahead, hidden)

    def _counts(
        self, visible: Tensor | None, rows: Tensor, shape: Sequence[int], like: Tensor
    ) -> Tensor:
        seen = shape[3]
        if visible is None:
            counts = (rows + 1).clamp(max=seen) if self.masking.causal else rows.new_full((), seen)
        else:
            if self.masking.causal:
                visible = visible & (torch.arange(seen, device=rows.device) <= rows[:, None])
            counts = visible.to(like.dtype).sum(-1)
        return counts.to(like.dtype).expand(shape[:3])


def without_padding(item: WeightsTile, attention: AttentionWeights) -> WeightsTile:
    """The tile, in which rows that only are padding see nothing."""
    if attention.text is None:
        return item
    padding = attention.text.padding[item.tile.batch, item.tile.rows].to(item.counts.device)
    return item._replace(counts=item.counts.masked_fill(padding[:, None], 0.0))


def look_up(mask: Mask, attention: AttentionWeights, tile: Tile) -> Tensor:
    """True = attend, `(batch, heads, rows, keys)`, or 1 for an axis that does not matter."""
    rows = attention.rows[tile.rows]
    heads = torch.tensor([attention.heads[head] for head in tile.heads], device=rows.device)
    batch = torch.arange(tile.batch.start, tile.batch.stop, device=rows.device)
    visible = mask.at(
        batch[:, None, None, None],
        heads[:, None, None],
        rows[:, None],
        torch.arange(attention.keys, device=rows.device),
        queries=attention.queries,
        keys=attention.keys,
    )
    visible = visible[(None,) * (4 - visible.ndim)]
    return visible.expand(*visible.shape[:2], len(rows), attention.keys)


def _pick(tensor: Tensor, tile: Tile) -> Tensor:
    """The tile of a tensor in which an axis of size 1 stands for all."""
    if tensor.shape[0] != 1:
        tensor = tensor[tile.batch]
    if tensor.shape[1] != 1:
        first = tile.heads[0]
        one = len(tile.heads) == 1
        tensor = tensor[:, first : first + 1] if one else tensor[:, list(tile.heads)]
    return tensor if tensor.shape[2] == 1 else tensor[:, :, tile.rows]
