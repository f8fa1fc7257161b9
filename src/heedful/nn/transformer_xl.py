"""Transformer-XL's attention with its projections: a text in segments, each with a memory."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.attention import head_dim
from heedful.nn.positions import SinusoidalPositions
from heedful.ops.transformer_xl import transformer_xl_attention, transformer_xl_weights


@final
class TransformerXLAttention(nn.Module):
    """Let every query look at every visible position of its segment and of the memory before it.

    `x` is one segment of a longer text, `memory` the inputs that this layer was given for earlier
    segments. Keys and values are made from both; no gradient flows into the memory. Distances are
    embedded by sines and cosines, so that segments need no numbers of their own. The paper shares
    the two biases between layers; here every attention has its own.

    ```python
    memory = None
    for segment in text.split(128, dim=1):
        output = attention(segment, memory=memory, mask=Mask.causal())
        memory = attention.remember(segment, memory)
    ```

    Args:
        width: Size of the input and of the output vectors. Even.
        heads: Number of heads.
        dim: Size of one head. `None` means `width / heads`.
        max_memory: Positions that `remember` keeps.

    Raises:
        ConfigError: `width` is odd, `heads` or `dim` is below 1, `heads` does not divide `width`,
            or `max_memory` is negative.

    Source:
        Dai et al. 2019, arXiv:1901.02860, sections 3.2 and 3.3.

    Cost:
        Five projections of `width x heads * dim`, one of them of `queries + keys` distances, and
        `2 * queries x keys` scores a head.
    """

    def __init__(
        self, *, width: int, heads: int, dim: int | None = None, max_memory: int = 512
    ) -> None:
        super().__init__()
        dim = head_dim(width=width, heads=heads) if dim is None else dim
        if heads < 1 or dim < 1:
            raise ConfigError(f"heads and dim must be at least 1, got {heads=}, {dim=}")
        if max_memory < 0:
            raise ConfigError(f"max_memory must not be negative, got {max_memory}")
        self.width, self.heads, self.dim, self.max_memory = width, heads, dim, max_memory
        self.query = nn.Linear(width, heads * dim, bias=False)
        self.key = nn.Linear(width, heads * dim, bias=False)
        self.value = nn.Linear(width, heads * dim, bias=False)
        self.position = nn.Linear(width, heads * dim, bias=False)
        self.out = nn.Linear(heads * dim, width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, dim))
        self.position_bias = nn.Parameter(torch.zeros(heads, dim))
        self.distances = SinusoidalPositions(width)
        for linear in (self.query, self.key, self.value, self.position, self.out):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        *,
        memory: Float[Tensor, "batch remembered width"] | None = None,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Mix positions.

        Args:
            x: The segment.
            memory: What came before it; `None` means nothing.
            mask: Who may see whom; its keys are the memory, then the segment.
        """
        source = self._source(x, memory)
        mixed = transformer_xl_attention(
            self._split(self.query(x)),
            self._split(self.key(source)),
            self._split(self.value(source)),
            position=self._positions(x, source),
            content_bias=self.content_bias,
            position_bias=self.position_bias,
            mask=mask,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(
        self,
        x: Float[Tensor, "batch queries width"],
        *,
        memory: Float[Tensor, "batch remembered width"] | None = None,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights that `forward` uses for the same arguments."""
        source = self._source(x, memory)
        return transformer_xl_weights(
            self._split(self.query(x)),
            self._split(self.key(source)),
            position=self._positions(x, source),
            content_bias=self.content_bias,
            position_bias=self.position_bias,
            mask=mask,
        )

    def remember(
        self,
        x: Float[Tensor, "batch queries width"],
        memory: Float[Tensor, "batch remembered width"] | None = None,
    ) -> Float[Tensor, "batch positions width"]:
        """Return the memory for the next segment: the last `max_memory` positions."""
        source = self._source(x, memory).detach()
        return source[:, max(source.shape[1] - self.max_memory, 0) :]

    def _source(self, x: Tensor, memory: Tensor | None) -> Tensor:
        if memory is None:
            return x
        if memory.ndim != 3 or (memory.shape[0], memory.shape[2]) != (x.shape[0], x.shape[2]):
            raise ShapeError(
                f"memory must match x in batch and width, "
                f"got {tuple(memory.shape)} for {tuple(x.shape)}"
            )
        return torch.cat([memory.detach().to(x.dtype), x], 1)

    def _positions(self, x: Tensor, source: Tensor) -> Float[Tensor, "heads distances dim"]:
        queries, keys = x.shape[1], source.shape[1]
        nothing = x.new_zeros(1, max(keys + queries - 1, 0), self.width)
        embedded = self.distances(nothing, offset=1 - queries).flip(1)
        return self._split(self.position(embedded))[0]

    def _split(self, x: Tensor) -> Float[Tensor, "batch heads length dim"]:
        return x.unflatten(-1, (-1, self.dim)).transpose(1, 2)
