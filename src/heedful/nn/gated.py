"""Gated attention: every query opens and shuts its heads, after they have mixed."""

import abc
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.cache import KeyValueCache


class HeadGates(nn.Module, abc.ABC):
    """An `Attention` whose heads are multiplied by gates before they are put together.

    Args:
        attention: What is gated.
    """

    @abc.abstractmethod
    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    @abc.abstractmethod
    def gates(
        self, x: Float[Tensor, "batch queries width"]
    ) -> Float[Tensor, "batch heads queries #dim"]:
        """Return the factors of what each head has mixed."""

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Mix positions; the arguments are those of `Attention`."""
        return self.attention(x, context, mask=mask, cache=cache, gates=self.gates(x))

    def weights(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights of the wrapped attention, of all heads; the gates act after them."""
        return self.attention.weights(x, context, mask=mask, cache=cache)


@final
class GatedAttention(HeadGates):
    """Multiply what each head has mixed by `sigmoid(x W + b)`, before the heads are put together.

    `out([g_1 * head_1; ...; g_h * head_h])`, where `x` is what looks. It wraps an `Attention`, so
    grouped heads, positions, mechanisms, caches and cross-attention are what they are there. A head
    that finds nothing can shut instead of looking at some first position. Unlike in the paper the
    gates have a bias; with a large one they are all open and this is the wrapped attention.

    Args:
        attention: What is gated.
        elementwise: One gate for each component of a head instead of one for each head.

    Source:
        Qiu et al. 2025, arXiv:2505.06708.

    Cost:
        One more projection, of `width x heads`, or `width x heads * dim` when elementwise.
    """

    def __init__(self, attention: Attention, *, elementwise: bool = False) -> None:
        super().__init__(attention)
        size = attention.dim if elementwise else 1
        self.gate = nn.Linear(attention.query.in_features, attention.heads * size)
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def gates(
        self, x: Float[Tensor, "batch queries width"]
    ) -> Float[Tensor, "batch heads queries #dim"]:
        """Return how far the gates are open, from 0 to 1."""
        return torch.sigmoid(self.gate(x)).unflatten(-1, (self.attention.heads, -1)).transpose(1, 2)
