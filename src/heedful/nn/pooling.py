"""Attention pooling: a few learned queries turn a sequence of any length into as many vectors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.attention import head_dim
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


class AttentionPooling(nn.Module):
    """Let learned queries attend to a sequence, in `heads` sub-spaces at once.

    `y_r = out([head_1; ...; head_h])` with
    `head_i = sum_j w_irj value_i(x_j)`, `w_ir = softmax_j(query_ir . key_i(x_j) / sqrt(dim))`.
    The queries are parameters, so that the order of the sequence does not matter.

    * Several heads are the `Multihead(S, X, X)` of the Set Transformer, the learned queries being
      its seeds `S`, already projected. Its residual connections, normalisation and feed-forward
      layers are the caller's.
    * `heads=1, squash=True` are the scores of Lin et al., `w_r . tanh(W x_j)`: the learned queries
      absorb the root of `dim`. Unlike there, `value` and `out` project what is summed.

    Args:
        width: Size of the input and of the output vectors.
        queries: Vectors that the sequence becomes.
        heads: Number of heads; divides `width`.
        dim: Size of one head of queries and keys. `None` means `width / heads`.
        squash: Put `tanh` on the keys?

    Raises:
        ConfigError: `queries` or `dim` is below 1, or `heads` does not divide `width`.

    Source:
        Lin et al. 2017, arXiv:1703.03130, section 2.1, equation 6.
        Lee et al. 2018, arXiv:1810.00825, section 3.2.

    Cost:
        `queries x length` scores a head: linear in the length.
    """

    def __init__(
        self,
        *,
        width: int,
        queries: int = 1,
        heads: int = 1,
        dim: int | None = None,
        squash: bool = False,
    ) -> None:
        super().__init__()
        value_dim = head_dim(width=width, heads=heads)
        dim = value_dim if dim is None else dim
        if queries < 1 or dim < 1:
            raise ConfigError(f"queries and dim must be at least 1, got {queries=}, {dim=}")
        self.width, self.queries, self.heads = width, queries, heads
        self.dim, self.squash = dim, squash
        self.query = nn.Parameter(torch.randn(heads, queries, dim))
        self.key = nn.Linear(width, heads * dim)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        for linear in (self.key, self.value, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch queries width"]:
        """Pool the sequence.

        Args:
            x: The sequence.
            mask: Which query may see which position, e.g. `Mask.lengths`. Where nothing is visible
                the answer is the bias of `out`.

        Raises:
            ShapeError: `x` is not `(batch, length, width)`, or the mask does not fit.
            ConfigError: A length of the mask exceeds that of `x`.
        """
        query, key = self._project(x)
        value = self._split(self.value(x))
        mixed = scaled_dot_attention(query, key, value, mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch heads queries length"]:
        """Return the weights by which `forward` sums.

        Raises:
            ShapeError: `x` is not `(batch, length, width)`, or the mask does not fit.
            ConfigError: A length of the mask exceeds that of `x`.
        """
        return scaled_dot_weights(*self._project(x), mask=mask)

    def penalty(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, " batch"]:
        """Return how much the queries look at the same positions: add a little of it to the loss.

        `|A A^T - I|^2`, the sum of squares, with the weights `A` of one head; summed over heads. It
        is 0 when every query looks at one position of its own. A query that sees nothing adds
        nothing. In float32 at least.

        Raises:
            ShapeError: `x` is not `(batch, length, width)`, or the mask does not fit.
            ConfigError: A length of the mask exceeds that of `x`.

        Source:
            Lin et al. 2017, arXiv:1703.03130, section 2.2, equation 8.
        """
        weights = self.weights(x, mask=mask)
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
        sees = (weights.detach().sum(-1) > 0).to(weights.dtype)
        return (weights @ weights.mT - torch.diag_embed(sees)).square().sum((1, 2, 3))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim != 3 or x.shape[2] != self.width:
            raise ShapeError(
                f"x must be (batch, length, width={self.width}), got shape {tuple(x.shape)}"
            )
        key = self._split(self.key(x))
        key = torch.tanh(key) if self.squash else key
        return self.query.to(key.dtype).expand(x.shape[0], -1, -1, -1), key

    def _split(self, x: Tensor) -> Float[Tensor, "batch heads length dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
