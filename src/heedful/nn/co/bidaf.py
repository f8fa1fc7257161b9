"""Bidirectional attention flow with its parameters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.ops.co import TwoWay, bidaf_attention


class BidafAttention(nn.Module):
    """Join each vector of a context with what it sees of a query and what the query sees of all.

    `bidaf_attention` with a learned `w`. What it returns is four times as wide as the context.

    Args:
        width: Size of the vectors of both texts.

    Raises:
        ConfigError: `width` is below 1.

    Source:
        Seo et al. 2016, arXiv:1611.01603, section 2, "Attention Flow Layer".

    Cost:
        `contexts x queries` scores, and `3 x width` parameters.
    """

    heedful_reason = "BidafAttention returns its weights itself"

    def __init__(self, *, width: int) -> None:
        super().__init__()
        check_sizes(width=width)
        self.score_weight = nn.Parameter(torch.randn(3, width) * width**-0.5)

    def forward(
        self,
        context: Float[Tensor, "batch contexts width"],
        query: Float[Tensor, "batch queries width"],
        *,
        context_mask: Mask | None = None,
        query_mask: Mask | None = None,
    ) -> TwoWay:
        """Return the output and the weights of both directions.

        Args:
            context: The text that is read.
            query: The question about it.
            context_mask: Which positions of the context exist.
            query_mask: Which positions of the query exist.
        """
        return bidaf_attention(
            context,
            query,
            score_weight=self.score_weight,
            context_mask=context_mask,
            query_mask=query_mask,
        )
