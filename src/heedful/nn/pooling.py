"""Attention pooling: a few learned queries turn a sequence of any length into as many vectors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.attention import check_mechanism, head_dim
from heedful.nn.mechanisms.base import Mechanism
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
    * `mechanism=Additive(heads=1, dim=dim)` scores by `v . tanh(query_r + key(x_j))`, as Bahdanau
      et al. do with a decoder state in the place of the learned query.

    Args:
        width: Size of the input and of the output vectors.
        queries: Vectors that the sequence becomes.
        heads: Number of heads.
        dim: Size of one head of queries and keys. `None` means `width / heads`.
        value_dim: Size of what one head returns. `None` means `width / heads`.
        squash: Put `tanh` on the keys?
        mechanism: How a head weighs positions, e.g. `Additive(heads=1, dim=64)`. `None` means
            scaled dot-product attention.

    Raises:
        ConfigError: A size is below 1, `heads` does not divide `width` where a size of a head is
            left out, or `mechanism` was made for other heads.

    Source:
        Lin et al. 2017, arXiv:1703.03130, section 2.1, equation 6.
        Lee et al. 2018, arXiv:1810.00825, section 3.2.
        Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2 (additive scores).

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
        value_dim: int | None = None,
        squash: bool = False,
        mechanism: Mechanism | None = None,
    ) -> None:
        super().__init__()
        if dim is None or value_dim is None:
            share = head_dim(width=width, heads=heads)
            dim, value_dim = (share if size is None else size for size in (dim, value_dim))
        check_sizes(width=width, heads=heads, queries=queries, dim=dim, value_dim=value_dim)
        check_mechanism(mechanism, heads, dim)
        self.width, self.queries, self.heads = width, queries, heads
        self.dim, self.value_dim, self.squash = dim, value_dim, squash
        self.mechanism = mechanism
        self.query = nn.Parameter(torch.randn(heads, queries, dim))
        self.key = nn.Linear(width, heads * dim)
        self.value = nn.Linear(width, heads * value_dim)
        self.out = nn.Linear(heads * value_dim, width)
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
        mixed = self.mix(query, key, value, mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def mix(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch heads length dim"],
        value: Float[Tensor, "batch heads length value_dim"],
        mask: Mask | None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Mix what is projected already; `forward` does all of it here, where `probe` listens."""
        if self.mechanism is not None:
            return self.mechanism(query, key, value, mask=mask)
        return scaled_dot_attention(query, key, value, mask=mask)

    def weights(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch heads queries length"]:
        """Return the weights by which `forward` sums.

        Raises:
            ShapeError: `x` is not `(batch, length, width)`, or the mask does not fit.
            ConfigError: A length of the mask exceeds that of `x`.
        """
        query, key = self._project(x)
        if self.mechanism is not None:
            return self.mechanism.weights(query, key, mask=mask)
        return scaled_dot_weights(query, key, mask=mask)

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
