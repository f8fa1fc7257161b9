"""SASRec: self-attention over what a user has had says what comes next."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import EncoderLayer
from heedful.nn.positions import LearnedPositions, RotaryPositions

Positions = Literal["learned", "rotary", "none"]
SPECIAL = 2  # numbers before those of items: of padding, and of an item that nobody knows
IGNORED = -100  # stands for a truth that nobody knows


class RunningMean(nn.Module):
    """`linear(mean of x_1 ... x_t)` at every place `t`: what is left where nothing is weighed.

    Args:
        width: Size of the vectors.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch length width"]:
        """Return the mean up to each place; padding stands behind and is seen by no other."""
        counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
        return self.out(x.cumsum(1) / counts[:, None])


class Sasrec(nn.Module):
    """Logits of all items at each place of a history: `norm(layers(embed(x))) . item + bias`.

    Unlike in the paper it learns from the cross-entropy over all items rather than from one drawn
    item at each place, norms stand before a sublayer whole, and each item has a bias. Where the
    order means nothing, all items behind a place are right there, each with the same share.

    Args:
        items: How many there are; number 0 is padding, 1 an item that nobody knows.
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        max_length: Longest history.
        positions: How order becomes visible.
        attention: Without it every place sees the mean of what was before.
        dropout: Share dropped of embeddings and of what sublayers add.

    Raises:
        ConfigError: Sizes do not divide, or `positions` is unknown.

    Source:
        Kang and McAuley 2018, arXiv:1808.09781, section III.
        Klenitskiy and Vasilev 2023, arXiv:2309.07602, abstract (cross-entropy over all items).
    """

    def __init__(
        self,
        *,
        items: int,
        width: int = 64,
        heads: int = 2,
        layers: int = 2,
        feedforward: int = 128,
        max_length: int = 50,
        positions: Positions = "learned",
        attention: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if positions not in get_args(Positions):
            known = ", ".join(get_args(Positions))
            raise ConfigError(f"positions must be one of {known}, got {positions!r}")
        self.embedding = nn.Embedding(items + SPECIAL, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))
        self.positions = (
            LearnedPositions(width, max_length=max_length) if positions == "learned" else None
        )

        def mixing() -> Any:
            if not attention:
                return RunningMean(width)
            rotary = positions == "rotary"
            inside = RotaryPositions(head_dim(width=width, heads=heads)) if rotary else None
            return Attention(width=width, heads=heads, positions=inside)

        self.layers = nn.ModuleList(
            EncoderLayer(
                mixing(), width=width, feedforward=feedforward, norm="pre", dropout=dropout
            )
            for _ in range(layers)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.scale = width**0.5

    def forward(
        self, items: Int[Tensor, "batch length"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch items"]:
        """Return the logits of what comes after each history.

        Args:
            items: Numbers, the oldest first, padded with 0.
            lengths: Of each history, 1 at least.
        """
        states = self.states(items, lengths)
        rows = torch.arange(states.shape[0], device=states.device)
        return self._logits(states[rows, lengths - 1])

    def loss(
        self,
        items: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        targets: Int[Tensor, "batch length"],
        *,
        ordered: bool = True,
    ) -> tuple[Tensor, int]:
        """Return the cross-entropy summed over places, and how many those are.

        Args:
            items: As in `forward`.
            lengths: As in `forward`.
            targets: Which logit is right at each place; -100 counts nothing.
            ordered: Is the order that of time? Else whatever stands behind a place may come next,
                all of it alike, and what stood before it cannot.
        """
        known = targets != IGNORED
        logits = self._logits(self.states(items, lengths)[known]).float()
        if ordered:
            lost = cross_entropy(logits, targets[known], reduction="sum")
        else:
            row, place = known.nonzero(as_tuple=True)
            where = _places(items, lengths, targets, count=logits.shape[1])[row]
            lost = _loss_of_sets(logits, where, place[:, None])
        return lost, int(known.sum())

    def states(
        self, items: Int[Tensor, "batch length"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch length width"]:
        """Return what each place knows of itself and of what was before."""
        x = self.embedding(items) * self.scale
        x = self.dropout(x if self.positions is None else self.positions(x))
        mask = Mask.causal() & Mask.lengths(lengths)
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.norm(x)

    def _logits(self, states: Tensor) -> Tensor:
        return states @ self.embedding.weight[SPECIAL:].T + self.bias


def _places(items: Tensor, lengths: Tensor, targets: Tensor, *, count: int) -> Tensor:
    """Where each item stands in each history with what comes behind it; -1 where it does not."""
    rows, length = items.shape
    # a column more for padding and for what nobody knows
    where = items.new_full((rows, count + 1), -1)
    places = torch.arange(length, device=items.device).expand(rows, length)
    here = (items >= SPECIAL) & (places < lengths[:, None])
    where.scatter_(1, torch.where(here, items - SPECIAL, count), places)
    last = targets.gather(1, lengths[:, None] - 1)
    where.scatter_(1, torch.where(last >= 0, last, count), lengths[:, None])
    return where[:, :count]


def _loss_of_sets(logits: Tensor, where: Tensor, place: Tensor) -> Tensor:
    """`logsumexp(logits of what was not before) - mean(logits of what comes behind)`, summed."""
    right = where > place
    before = (where >= 0) & ~right
    mean = (logits * right).sum(1) / right.sum(1)
    return (logits.masked_fill(before, -torch.inf).logsumexp(1) - mean).sum()
