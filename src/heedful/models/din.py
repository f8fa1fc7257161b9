"""DIN: an item that is offered attends to what a user has had, and says whether it is clicked."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heedful.listeners import compiling
from heedful.mask import Mask
from heedful.models.sasrec import IGNORED, SPECIAL
from heedful.nn.attention import Attention
from heedful.nn.constant import Constant

CANDIDATES = 1 << 18  # numbers of hidden layers that are held at a time, of a history and an item


class Din(nn.Module):
    """Logits of clicks: `mlp([u; v; u * v]) + bias_v` with `u = attention(v, history)`.

    The item `v` that is offered is the query, so that each one sees what of the history speaks for
    it. Unlike in the paper the scores are scaled dot products that a softmax turns into weights,
    where it has a small network without one; there are no features but the items, and ReLU stands
    in the place of Dice.

    Args:
        items: How many there are; number 0 is padding, 1 an item that nobody knows.
        width: Size of the vectors.
        heads: Of the attention.
        hidden: Size of the hidden layer.
        attention: Without it every item sees the mean of the history.
        dropout: Share dropped of embeddings and of the hidden layer.

    Raises:
        ConfigError: `heads` does not divide `width`.

    Source:
        Zhou et al. 2018, arXiv:1706.06978, section 4.3.

    Cost:
        All items are scored for a history: `items x length` scores a head.
    """

    def __init__(
        self,
        *,
        items: int,
        width: int = 32,
        heads: int = 2,
        hidden: int = 64,
        attention: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(items + SPECIAL, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.bias = nn.Embedding(items, 1)
        nn.init.zeros_(self.bias.weight)
        self.norm = nn.LayerNorm(width)
        self.attention: Attention | Constant | None = None
        if attention:
            self.attention = Attention(width=width, heads=heads)
        else:
            self.value = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(3 * width, hidden), nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        self.hidden = hidden

    def forward(
        self,
        items: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        offered: Int[Tensor, " offered"] | None = None,
    ) -> Float[Tensor, "batch offered"]:
        """Return the logit of a click on every item that is offered after each history.

        Args:
            items: Numbers, the oldest first, padded with 0.
            lengths: Of each history, 1 at least.
            offered: Items, counted from 0, scored at once; `None` means all there are, in parts.
        """
        history = self._embed(items)
        if offered is not None:
            return self._clicks(offered.expand(len(items), -1), history, lengths, causal=False)
        every = torch.arange(len(self.bias.weight), device=items.device)
        # a graph cannot know how many parts there are
        whole = len(every) if compiling() else CANDIDATES // (items.shape[0] * self.hidden)
        together = max(1, whole)
        parts = [
            self._clicks(part.expand(items.shape[0], -1), history, lengths, causal=False)
            for part in every.split(together)
        ]
        return torch.cat(parts, dim=1)

    def loss(
        self,
        items: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        targets: Int[Tensor, "batch length"],
        others: Int[Tensor, "batch negatives length"],
    ) -> tuple[Tensor, int]:
        """Return the log loss of clicks summed over all that was offered, and how much that is.

        Args:
            items: As in `forward`.
            lengths: As in `forward`.
            targets: What was clicked after each place; -100 counts nothing.
            others: What was offered beside it and was not.
        """
        offered = torch.cat([targets[:, None], others], dim=1)
        kinds, known = offered.shape[1], (targets != IGNORED)[:, None].expand_as(offered)
        history = self._embed(items).repeat_interleave(kinds, dim=0)
        each = lengths.repeat_interleave(kinds)
        flat = offered.clamp(min=0).flatten(0, 1)
        logits = self._clicks(flat, history, each, causal=True).view_as(offered)[known]
        clicked = torch.zeros_like(offered)
        clicked[:, 0] = 1
        truth = clicked[known].to(torch.float32)
        lost = binary_cross_entropy_with_logits(logits.float(), truth, reduction="sum")
        return lost, int(known.sum())

    def _embed(self, items: Tensor) -> Tensor:
        return self.dropout(self.norm(self.embedding(items)))

    def _clicks(self, offered: Tensor, history: Tensor, lengths: Tensor, *, causal: bool) -> Tensor:
        """Logits of `offered`: each after its own place of the history, or all after its end."""
        query = self.norm(self.embedding(offered + SPECIAL))
        if self.attention is None:
            seen = self._mean(history, lengths, causal=causal).expand_as(query)
        else:
            mask = Mask.lengths(lengths)
            mask = Mask.causal() & mask if causal else mask
            seen = self.attention(query, history, mask=mask)
        hidden = self.inner(torch.cat([seen, query, seen * query], dim=-1)).relu()
        return (self.outer(self.dropout(hidden)) + self.bias(offered))[..., 0]

    def _mean(self, history: Tensor, lengths: Tensor, *, causal: bool) -> Tensor:
        places = torch.arange(history.shape[1], device=history.device)
        inside = (places < lengths[:, None])[..., None]
        sums = (self.value(history) * inside).cumsum(1)
        if causal:
            return sums / (places + 1)[:, None]
        return sums[:, -1:] / lengths[:, None, None]
