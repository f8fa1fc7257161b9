"""A band of the score matrix: chunks of queries against the few keys near each of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.mask import Mask

CHUNK = 64  # queries at least, because products of smaller matrices are slow


@dataclass(frozen=True)
class Band:
    """Query `i` at position `p = i + keys - queries` meets the keys `p - behind` to `p + ahead`.

    Chunk `n` holds `chunk` queries from `n * chunk` on; its slice holds the `span` keys that any of
    them meets. Both are filled up with zeros beyond an end: `visible` hides such keys, and `joined`
    drops such queries.
    """

    queries: int
    keys: int
    behind: int
    ahead: int

    @classmethod
    def of(cls, queries: int, keys: int, *, behind: int, ahead: int) -> "Band":
        """The band, no wider than the score matrix."""
        return cls(queries, keys, min(behind, max(keys - 1, 0)), min(ahead, max(queries - 1, 0)))

    @property
    def chunk(self) -> int:
        """Queries a chunk: as many as a query meets keys, so that at most half are in vain."""
        return max(1, min(self.queries, max(CHUNK, self.behind + 1 + self.ahead)))

    @property
    def count(self) -> int:
        """Number of chunks."""
        return max(1, -(-self.queries // self.chunk))

    @property
    def span(self) -> int:
        """Keys a slice."""
        return self.chunk + self.behind + self.ahead

    def chunks(self, query: Tensor) -> Tensor:
        """`(batch, heads, queries, dim)` to `(batch, heads, count, chunk, dim)`."""
        missing = self.count * self.chunk - self.queries
        return pad(query, (0, 0, 0, missing)).unflatten(2, (self.count, self.chunk))

    def slices(self, key: Tensor) -> Tensor:
        """`(batch, heads, keys, dim)` to `(batch, heads, count, span, dim)`, without copies."""
        before = self.behind + self.queries - self.keys  # below 0: the first keys are never met
        after = self.count * self.chunk - self.queries + self.ahead
        return pad(key, (0, 0, before, after)).unfold(2, self.span, self.chunk).mT

    def joined(self, output: Tensor) -> Tensor:
        """`(batch, heads, count, chunk, dim)` to `(batch, heads, queries, dim)`."""
        return output.flatten(2, 3)[:, :, : self.queries]

    def places(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The query `(count, chunk, 1)` and the key `(count, 1, span)` of every pair in the band.

        Where a chunk or a slice is filled up, they are beyond an end.
        """
        first = torch.arange(self.count, device=device)[:, None] * self.chunk
        query = first + torch.arange(self.chunk, device=device)
        key = first + torch.arange(self.span, device=device)
        return query[:, :, None], key[:, None] + self.keys - self.queries - self.behind

    def distance(self, device: torch.device) -> Tensor:
        """How far each key is behind the query, `(chunk, span)`: the same in every chunk."""
        query = torch.arange(self.chunk, device=device)[:, None]
        return query - torch.arange(self.span, device=device) + self.behind

    def visible(self, mask: Mask | None, batch: int, heads: int, device: torch.device) -> Tensor:
        """Which keys exist, lie in the band, and are visible: broadcasts like the scores."""
        query, key = self.places(device)
        distance = self.distance(device)
        near = (distance <= self.behind) & (distance >= -self.ahead)
        near = near & (key >= 0) & (key < self.keys)
        return near & look_up(mask, query, key, self, batch, heads)


def look_up(
    mask: Mask | None, query: Tensor, key: Tensor, size: Band, batch: int, heads: int
) -> Tensor:
    """What the mask says of pairs, `(count, chunk, span)`, some of which do not exist."""
    if mask is None or not size.queries or not size.keys:
        return query.new_ones((), dtype=torch.bool)
    mask.check(size.queries, size.keys, batch=batch, heads=heads)
    axes = [torch.arange(n, device=query.device) for n in (batch, heads)]
    return mask.within(size.queries, size.keys).at(
        axes[0].view(-1, 1, 1, 1, 1),
        axes[1].view(-1, 1, 1, 1),
        query.clamp(max=size.queries - 1)[None, None],
        key.clamp(0, size.keys - 1)[None, None],
        queries=size.queries,
        keys=size.keys,
    )


def masked_shares(scores: Tensor, visible: Tensor, amount: Tensor | None = None) -> Tensor:
    """`amount_j exp(score_j) / sum of that`, over what is visible; zeros where nothing is.

    Args:
        scores: Any real numbers; those that are not visible do not matter.
        visible: Broadcasts to the scores. False where the amount is 0.
        amount: Broadcasts to the scores; not negative. `None` means 1.
    """
    # The lowest number, not -inf: a row that sees nothing is then no NaN, here and in the gradient.
    scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    if amount is None:
        return scores.softmax(-1).masked_fill(~visible, 0.0)
    terms = (scores - scores.detach().amax(-1, keepdim=True)).exp() * amount
    terms = terms.masked_fill(~visible, 0.0)
    total = terms.sum(-1, keepdim=True)
    return terms / total.masked_fill(total == 0, 1.0)
