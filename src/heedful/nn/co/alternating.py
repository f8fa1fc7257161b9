"""Alternating co-attention with its parameters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.ops.co import Step, Summaries, alternating_attention


class AlternatingCoAttention(nn.Module):
    """Sum a query, a context guided by that sum, and the query again guided by the context's.

    Each of the three steps has parameters of its own.

    Args:
        context_width: Size of the vectors of one text.
        query_width: Size of the vectors of the other one.
        hidden: Size of the vectors that are scored.

    Raises:
        ConfigError: A size is below 1.

    Source:
        Lu et al. 2016, arXiv:1606.00061, section 3.3, "Alternating Co-Attention".

    Cost:
        `hidden` numbers a position; nothing of size `contexts x queries`.
    """

    heedful_reason = "AlternatingCoAttention returns its weights itself"

    def __init__(self, *, context_width: int, query_width: int, hidden: int) -> None:
        super().__init__()
        check_sizes(context_width=context_width, query_width=query_width, hidden=hidden)
        self.first = _Weights(query_width, hidden)
        self.second = _Weights(context_width, hidden, guide_width=query_width)
        self.third = _Weights(query_width, hidden, guide_width=context_width)

    def forward(
        self,
        context: Float[Tensor, "batch contexts context_width"],
        query: Float[Tensor, "batch queries query_width"],
        *,
        context_mask: Mask | None = None,
        query_mask: Mask | None = None,
    ) -> Summaries:
        """Return both sums and both weights.

        Args:
            context: One text.
            query: The other one; it is looked at first and last.
            context_mask: Which positions of the context exist.
            query_mask: Which positions of the query exist.
        """
        return alternating_attention(
            context,
            query,
            first=self.first.step(),
            second=self.second.step(),
            third=self.third.step(),
            context_mask=context_mask,
            query_mask=query_mask,
        )


class _Weights(nn.Module):
    """The parameters of one step."""

    def __init__(self, width: int, hidden: int, *, guide_width: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden, width)))
        self.score = nn.Parameter(torch.randn(hidden) * hidden**-0.5)
        self.guide = None
        if guide_width is not None:
            self.guide = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden, guide_width)))

    def step(self) -> Step:
        return Step(self.weight, self.score, self.guide)
