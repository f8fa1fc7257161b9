"""Multi-head attention with its projections: the one attention module of heedful's Transformers."""

import copy

from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.kernels.call import check_dropout
from heedful.mask import Mask
from heedful.nn.cache import KeyValueCache
from heedful.nn.mechanisms.base import Mechanism
from heedful.nn.positions import AlibiPositions, RelativePositions, RotaryPositions
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


class Attention(nn.Module):
    """Let every query look at every visible key, in `heads` sub-spaces at once.

    `out([head_1; ...; head_h])` with `head_i = attention(x W_q, context W_k, context W_v)`.
    Self-attention when no `context` is given, cross-attention otherwise. With fewer `kv_heads` than
    `heads`, neighbouring query heads share one key/value head. Unlike in the paper the projections
    have biases, and `dropout` also acts on the weights.

    Args:
        width: Size of the input and of the output vectors.
        heads: Number of query heads.
        kv_heads: Number of key/value heads; divides `heads`. `None` means `heads`.
        dim: Size of one head. `None` means `width / heads`.
        value_dim: Size of what one head returns. `None` means `dim`.
        dropout: Share of weights dropped while training.
        positions: Rotates queries and keys, or adds to their scores; in self-attention only, since
            distances between two different texts mean nothing.
        mechanism: How a head mixes positions, e.g. `Entmax(heads=8, dim=64)`. `None` means scaled
            dot-product attention.

    Raises:
        ConfigError: A size is no whole number of at least 1, a head count does not divide,
            `dropout` is not in [0, 1), or `positions` or `mechanism` were made for other heads.
        UnsupportedError: `mechanism` together with `dropout`, or with positions that add to scores.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
        Ainslie et al. 2023, arXiv:2305.13245, section 2.2 (grouped key/value heads).

    Cost:
        Four projections of `width x heads * dim`, and `queries x keys` scores a head.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int | None = None,
        dim: int | None = None,
        value_dim: int | None = None,
        dropout: float = 0.0,
        positions: RotaryPositions | RelativePositions | AlibiPositions | None = None,
        mechanism: Mechanism | None = None,
    ) -> None:
        super().__init__()
        _check_numbers(width, heads, kv_heads, dim, value_dim, dropout=dropout)
        kv_heads = heads if kv_heads is None else kv_heads
        dim = head_dim(width=width, heads=heads) if dim is None else dim
        value_dim = dim if value_dim is None else value_dim
        if heads < 1 or dim < 1 or value_dim < 1:
            sizes = f"{heads=}, {dim=}, {value_dim=}"
            raise ConfigError(f"heads, dim and value_dim must be at least 1, got {sizes}")
        if kv_heads < 1 or heads % kv_heads:
            raise ConfigError(f"kv_heads must divide heads, got {kv_heads=}, {heads=}")
        if isinstance(positions, RotaryPositions) and positions.dim != dim:
            raise ConfigError(f"positions must have dim {dim} like a head, got {positions.dim}")
        if isinstance(positions, RelativePositions | AlibiPositions) and positions.heads != heads:
            raise ConfigError(f"positions must have {heads} heads, got {positions.heads}")
        _check_together(mechanism, heads, dim, dropout, positions)
        self.heads, self.kv_heads, self.dropout = heads, kv_heads, dropout
        self.dim, self.value_dim = dim, value_dim
        self.query = nn.Linear(width, heads * self.dim)
        self.key = nn.Linear(width, kv_heads * self.dim)
        self.value = nn.Linear(width, kv_heads * self.value_dim)
        self.out = nn.Linear(heads * self.value_dim, width)
        self.positions, self.mechanism = positions, mechanism
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
        gates: Float[Tensor, "batch heads queries #value_dim"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Mix positions.

        Args:
            x: What looks.
            context: What is looked at; `None` means `x`.
            mask: Who may see whom. With a cache its keys are all positions so far.
            cache: Self-attention appends to it and sees all of it. Cross-attention fills an empty
                one from `context` and from then on reads it instead of `context`.
            gates: Factors of what each head has mixed, before `out`. `None` means 1.
        """
        query, key, value = self._project(x, context, cache)
        mask = _narrowed(self.mechanism, query, mask, cache)
        mixed = self.mix(query, key, value, mask, self._bias(query, key, context))
        mixed = mixed if gates is None else mixed * gates
        return self.out(mixed.transpose(1, 2).flatten(2))

    def mix(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        mask: Mask | None,
        bias: Float[Tensor, "..."] | None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Mix what is projected already; `forward` does all of it here, where `probe` listens."""
        if self.mechanism is not None:
            return self.mechanism(query, key, value, mask=mask)
        dropout = self.dropout if self.training else 0.0
        return scaled_dot_attention(query, key, value, mask=mask, bias=bias, dropout=dropout)

    def weights(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys width"] | None = None,
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights that `forward` uses for the same arguments, without dropout.

        The cache stays as it is: `forward` is what advances it.
        """
        cache = copy.copy(cache)
        query, key, _ = self._project(x, context, cache)
        if self.mechanism is not None:
            mask = _narrowed(self.mechanism, query, mask, cache)
            return self.mechanism.weights(query, key, mask=mask)
        return scaled_dot_weights(query, key, mask=mask, bias=self._bias(query, key, context))

    def _project(
        self, x: Tensor, context: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = _split(self.query(x), self.dim)
        if context is not None and cache is not None and cache.length:
            return query, *cache.stored()
        source = x if context is None else context
        key = _split(self.key(source), self.dim)
        value = _split(self.value(source), self.value_dim)
        if isinstance(self.positions, RotaryPositions) and context is None:
            offset = 0 if cache is None else cache.length
            query = self.positions(query, offset=offset)
            key = self.positions(key, offset=offset)
        if cache is not None:
            key, value = cache.append(key, value)
        return query, key, value

    def _bias(self, query: Tensor, key: Tensor, context: Tensor | None) -> Tensor | None:
        if isinstance(self.positions, RelativePositions | AlibiPositions) and context is None:
            return self.positions(query.shape[2], key.shape[2]).to(query.dtype)
        return None


def _split(x: Tensor, dim: int) -> Float[Tensor, "batch heads length dim"]:
    return x.unflatten(-1, (-1, dim)).transpose(1, 2)


def _narrowed(
    mechanism: Mechanism | None, query: Tensor, mask: Mask | None, cache: KeyValueCache | None
) -> Mask | None:
    return mask if mechanism is None or cache is None else mechanism.narrow(query, mask, cache)


def check_mechanism(mechanism: Mechanism | None, heads: int, dim: int) -> None:
    """Raise unless a mechanism is one, and was made for these heads.

    Raises:
        ConfigError: It is none, or was made for other heads.
    """
    if mechanism is None:
        return
    if not isinstance(mechanism, Mechanism):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            "mechanism must be a module of heedful.nn.mechanisms, such as Entmax(heads=8, dim=16), "
            f"got {mechanism!r:.80}"
        )
    if (mechanism.heads, mechanism.dim) != (heads, dim):
        raise ConfigError(
            f"mechanism must have heads={heads} and dim={dim}, "
            f"got {mechanism.heads} and {mechanism.dim}"
        )


def _check_together(
    mechanism: Mechanism | None, heads: int, dim: int, dropout: float, positions: nn.Module | None
) -> None:
    check_mechanism(mechanism, heads, dim)
    if mechanism is None:
        return
    if dropout:
        raise UnsupportedError(f"dropout must be 0 with a mechanism, got {dropout}")
    if isinstance(positions, RelativePositions | AlibiPositions):
        raise UnsupportedError(
            f"positions must not add to the scores of a mechanism, got {type(positions).__name__}"
        )


def _check_numbers(*sizes: int | None, dropout: float) -> None:
    check_dropout(dropout)
    names = ("width", "heads", "kv_heads", "dim", "value_dim")
    for name, size in zip(names, sizes, strict=True):
        if size is not None and not isinstance(size, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"{name} must be a whole number, got {size!r:.80}")


def head_dim(*, width: int, heads: int) -> int:
    """Return the size of one head when all heads together are as wide as the vectors.

    Raises:
        ConfigError: The heads do not divide the width.
    """
    if heads < 1 or width < 1 or width % heads:
        raise ConfigError(f"heads must divide width, got {heads=}, {width=}")
    return width // heads
