"""Latent attention: keys and values are made from one small vector, and only that is kept."""

import copy
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.attention import head_dim
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import RotaryPositions
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights

TINY = 1e-6  # what the mean square of a latent vector is raised by


@final
class LatentCache:
    """The latent vectors and the rotated keys that a decoder has already computed.

    It is for writing, not for training, like `KeyValueCache`, which holds the two.

    Cost:
        At most twice the memory of the positions stored: `latent_dim + positions.dim` numbers each,
        however many heads there are.
    """

    def __init__(self) -> None:
        self._pair = KeyValueCache()

    @property
    def length(self) -> int:
        """How many positions are stored."""
        return self._pair.length

    def append(
        self,
        latent: Float[Tensor, "batch length latent_dim"],
        turned: Float[Tensor, "batch length rotary_dim"],
    ) -> tuple[Tensor, Tensor]:
        """Store new positions behind the old ones and return all of them.

        Raises:
            ShapeError: What is appended differs from what is stored in anything but its length.
        """
        try:
            both = self._pair.append(latent[:, None], turned[:, None])
        except ShapeError:
            raise ShapeError(
                "latent and turned must match each other and the cache in all but their length, "
                f"got {tuple(latent.shape)} and {tuple(turned.shape)}"
            ) from None
        return both[0][:, 0], both[1][:, 0]

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows, in this order; a row may be taken more than once."""
        self._pair.select(rows)

    def __copy__(self) -> "LatentCache":
        other = LatentCache()
        other._pair = copy.copy(self._pair)
        return other


class _Compared(NamedTuple):
    """What the op is given, and whether values are still latent vectors."""

    query: Float[Tensor, "batch heads queries compared"]
    key: Float[Tensor, "batch kv_heads keys compared"]
    value: Float[Tensor, "batch kv_heads keys summed"]
    absorbed: bool


@final
class LatentAttention(nn.Module):
    """Self-attention whose keys and values are unfolded from one latent vector a position.

    With `c = norm(x W_c)` a head has the key `[c W_k; r]`, the value `c W_v` and the query
    `[y W_q; y W_p]`, where `y = norm(x W_y)`, or `x` without `query_latent_dim`. `r = x W_r` is one
    for all heads. Only `r` and its partner `y W_p` are rotated by their position: a rotation
    between `W_q` and `W_k` would keep the two from becoming one. Scores are divided by the root of
    the size of both parts. No projection has a bias, so a query that sees nothing gives 0.

    With a cache that holds positions already, `W_k` is absorbed by the query and `W_v` by the
    output: the heads compare with latent vectors and sum them, as query heads that share one
    key/value head, and no key or value is unfolded. The result is the same up to rounding. Where
    `key` or `value` is more than its weight, as with an adapter, all of them are unfolded.

    Args:
        width: Size of the input and of the output vectors.
        heads: Number of heads.
        latent_dim: Size of the vector that keys and values are made from.
        query_latent_dim: Size of the vector that queries are made from. `None` means: from `x`.
        dim: Size of one head of queries and keys, without the rotated part. `None` means
            `width / heads`.
        value_dim: Size of one head of values. `None` means `dim`.
        positions: Rotates a part of its own, `positions.dim` wide. `None` means: there is none.
        dropout: Share of weights dropped while training.

    Raises:
        ConfigError: A size is below 1, or the heads do not divide the width.

    Source:
        DeepSeek-AI 2024, arXiv:2405.04434, sections 2.1.2 and 2.1.3 (multi-head latent attention,
        MLA). The norms, which the equations there leave out, are those of the authors' code.

    Cost:
        `queries x keys` scores a head. The cache holds `latent_dim + positions.dim` numbers a
        position, where `Attention` holds `2 * kv_heads * dim`; reading it absorbed takes
        `2 * latent_dim + positions.dim` products a pair and head.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        latent_dim: int,
        query_latent_dim: int | None = None,
        dim: int | None = None,
        value_dim: int | None = None,
        positions: RotaryPositions | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        dim = head_dim(width=width, heads=heads) if dim is None else dim
        value_dim = dim if value_dim is None else value_dim
        sizes = {"heads": heads, "latent_dim": latent_dim, "dim": dim, "value_dim": value_dim}
        if query_latent_dim is not None:
            sizes["query_latent_dim"] = query_latent_dim
        for name, size in sizes.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        self.heads, self.dim, self.dropout, self.positions = heads, dim, dropout, positions
        rotary_dim = 0 if positions is None else positions.dim
        self.latent_dim, self.scale = latent_dim, (dim + rotary_dim) ** -0.5
        self.query_latent = None
        if query_latent_dim is not None:
            self.query_latent = nn.Linear(width, query_latent_dim, bias=False)
            self.query_norm = nn.RMSNorm(query_latent_dim, eps=TINY)
        looked_for = width if query_latent_dim is None else query_latent_dim
        self.query = nn.Linear(looked_for, heads * (dim + rotary_dim), bias=False)
        self.latent = nn.Linear(width, latent_dim + rotary_dim, bias=False)
        self.norm = nn.RMSNorm(latent_dim, eps=TINY)
        self.key = nn.Linear(latent_dim, heads * dim, bias=False)
        self.value = nn.Linear(latent_dim, heads * value_dim, bias=False)
        self.out = nn.Linear(heads * value_dim, width, bias=False)
        for module in self.children():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        *,
        mask: Mask | None = None,
        cache: LatentCache | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Mix positions.

        Args:
            x: What looks and is looked at.
            mask: Who may see whom. With a cache its keys are all positions so far.
            cache: It is appended to, and all of it is seen.
        """
        query, key, value, absorbed = self._compare(x, cache)
        dropout = self.dropout if self.training else 0.0
        mixed = scaled_dot_attention(
            query, key, value, mask=mask, scale=self.scale, dropout=dropout
        )
        if absorbed:
            mixed = mixed @ self._by_head(self.value).mT
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(
        self,
        x: Float[Tensor, "batch queries width"],
        *,
        mask: Mask | None = None,
        cache: LatentCache | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights that `forward` uses for the same arguments, without dropout.

        The cache stays as it is: `forward` is what advances it.
        """
        query, key, _, _ = self._compare(x, copy.copy(cache))
        return scaled_dot_weights(query, key, mask=mask, scale=self.scale)

    def _compare(self, x: Tensor, cache: LatentCache | None) -> _Compared:
        offset = 0 if cache is None else cache.length
        looked_for = x if self.query_latent is None else self.query_norm(self.query_latent(x))
        query, looking = self._rotated(self._split(self.query(looked_for)), self.dim, offset)
        latent, turned = self._rotated(self.latent(x)[:, None], self.latent_dim, offset)
        latent, turned = self.norm(latent[:, 0]), turned[:, 0]
        if cache is not None:
            latent, turned = cache.append(latent, turned)
        if offset and _is_its_weight(self.key) and _is_its_weight(self.value):
            query = torch.cat([query @ self._by_head(self.key), looking], dim=-1)
            key = torch.cat([latent, turned], dim=-1)[:, None]
            return _Compared(query, key, latent[:, None], absorbed=True)
        key, value = self._split(self.key(latent)), self._split(self.value(latent))
        shared = turned[:, None].expand(-1, self.heads, -1, -1)
        query, key = torch.cat([query, looking], dim=-1), torch.cat([key, shared], dim=-1)
        return _Compared(query, key, value, absorbed=False)

    def _rotated(
        self, x: Float[Tensor, "batch heads length both"], plain: int, offset: int
    ) -> tuple[Tensor, Tensor]:
        """Part what has no position from what is rotated by it."""
        content, turned = x[..., :plain], x[..., plain:]
        if self.positions is not None:
            turned = self.positions(turned, offset=offset)
        return content, turned

    def _split(self, x: Tensor) -> Float[Tensor, "batch heads length dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _by_head(self, linear: nn.Linear) -> Float[Tensor, "heads dim latent_dim"]:
        return linear.weight.unflatten(0, (self.heads, -1))


def _is_its_weight(module: nn.Module) -> bool:
    """Is all that a module does a product with its weight? No adapter, no hook, nothing rounded."""
    hooks = (vars(module)[f"_forward_{kind}"] for kind in ("hooks", "pre_hooks"))
    return type(module) is nn.Linear and not any(hooks)
