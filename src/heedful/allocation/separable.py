"""Four projections of their own, and what mixes heads between them: sites come apart into this."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from heedful.allocation.mask_and_bias import NO_MASK, MaskAndBias
from heedful.allocation.projections import Geometry
from heedful.errors import UnsupportedError
from heedful.kernels.call import share_heads
from heedful.nn.mechanisms import MECHANISMS
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


class Separable(nn.Module):
    """Four projections of their own, and what mixes the heads between them.

    The modules around it are called in the way of their library.

    Args:
        geometry: Its sizes; at least one head.
        biased: Do queries, keys and values have biases?
        out_biased: Does the output?
        dropout: Share of weights dropped while training.

    Raises:
        UnsupportedError: A mechanism together with dropout.
    """

    def __init__(
        self,
        geometry: Geometry,
        *,
        biased: bool,
        out_biased: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        mixing = geometry.mixing
        if mixing is not None and dropout:
            raise UnsupportedError(f"dropout must be 0 with a mechanism, got {dropout}")
        self.geometry, self.dropout = geometry, dropout
        heads, kv_heads, dim = geometry.heads, geometry.kv_heads, geometry.dim
        self.query = nn.Linear(geometry.width, heads * dim, bias=biased)
        self.key = nn.Linear(geometry.context, kv_heads * dim, bias=biased)
        self.value = nn.Linear(geometry.context, kv_heads * geometry.value_dim, bias=biased)
        self.out = nn.Linear(heads * geometry.value_dim, geometry.out, bias=out_biased)
        self.mechanism = None
        if mixing is not None:
            self.mechanism = MECHANISMS[mixing.name](heads=heads, dim=dim, **mixing.settings)

    def forward(
        self,
        query: Float[Tensor, "batch queries width"],
        key: Float[Tensor, "batch keys context"],
        value: Float[Tensor, "batch keys context"],
        mask_and_bias: MaskAndBias = NO_MASK,
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch queries out"], Float[Tensor, "batch heads queries keys"] | None
    ]:
        """Return what the site gives, and the weights where they are needed.

        Args:
            query: What looks.
            key: What is looked at.
            value: What is returned of it.
            mask_and_bias: Who sees whom, and what is added to the scores.
            need_weights: Return the weights too? They are then stored, after dropout as in torch.

        Raises:
            UnsupportedError: There are numbers to add, and a mechanism that takes none.
        """
        parts = self.query(query), self.key(key), self.value(value)
        mixed, weights = self.mix(*parts, mask_and_bias, need_weights=need_weights)
        return self.out(mixed), weights

    def mix(
        self,
        query: Float[Tensor, "batch queries heads_dim"],
        key: Float[Tensor, "batch keys kv_heads_dim"],
        value: Float[Tensor, "batch keys kv_heads_value_dim"],
        mask_and_bias: MaskAndBias,
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch queries heads_value_dim"],
        Float[Tensor, "batch heads queries keys"] | None,
    ]:
        """As `forward`, between the projections."""
        dim = self.geometry.dim
        q, k, v = _split(query, dim), _split(key, dim), _split(value, self.geometry.value_dim)
        dropout = self.dropout if self.training else 0.0
        weights, mask = None, mask_and_bias.mask
        if self.mechanism is not None:
            if mask_and_bias.has_bias():
                raise UnsupportedError(
                    f"a mask must only hide where {type(self.mechanism).__name__} mixes, "
                    "got numbers to add to the scores"
                )
            mixed = self.mechanism(q, k, v, mask=mask)
            weights = self.mechanism.weights(q, k, mask=mask) if need_weights else None
            return mixed.transpose(1, 2).flatten(2), weights
        bias = None if mask_and_bias.bias is None else mask_and_bias.bias.to(q.dtype)
        if need_weights:
            weights = scaled_dot_weights(q, k, mask=mask, bias=bias)
            weights = functional.dropout(weights, dropout)
            mixed = weights @ share_heads(v, q.shape[1])
        else:
            mixed = scaled_dot_attention(q, k, v, mask=mask, bias=bias, dropout=dropout)
        return mixed.transpose(1, 2).flatten(2), weights


def _split(x: Tensor, dim: int) -> Float[Tensor, "batch heads length dim"]:
    return x.unflatten(-1, (-1, dim)).transpose(1, 2)
