"""Parallel co-attention with its parameters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.ops.co import Summaries, parallel_attention


class ParallelCoAttention(nn.Module):
    """Sum each of two texts by weights that the affinity to the other one gives.

    Args:
        context_width: Size of the vectors of one text.
        query_width: Size of the vectors of the other one.
        hidden: Size of the vectors that are scored.

    Raises:
        ConfigError: A size is below 1.

    Source:
        Lu et al. 2016, arXiv:1606.00061, section 3.3, "Parallel Co-Attention".

    Cost:
        `contexts x queries` affinities.
    """

    heedful_reason = "ParallelCoAttention returns its weights itself"

    def __init__(self, *, context_width: int, query_width: int, hidden: int) -> None:
        super().__init__()
        check_sizes(context_width=context_width, query_width=query_width, hidden=hidden)
        self.affinity_weight = nn.Parameter(torch.empty(query_width, context_width))
        self.context_weight = nn.Parameter(torch.empty(hidden, context_width))
        self.query_weight = nn.Parameter(torch.empty(hidden, query_width))
        self.score_weight = nn.Parameter(torch.randn(2, hidden) * hidden**-0.5)
        for weight in (self.affinity_weight, self.context_weight, self.query_weight):
            nn.init.xavier_uniform_(weight)

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
            query: The other one.
            context_mask: Which positions of the context exist.
            query_mask: Which positions of the query exist.
        """
        return parallel_attention(
            context,
            query,
            affinity_weight=self.affinity_weight,
            context_weight=self.context_weight,
            query_weight=self.query_weight,
            score_weight=self.score_weight,
            context_mask=context_mask,
            query_mask=query_mask,
        )
