"""Where a token stands: added to embeddings, turned into queries and keys, or added to scores."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError


class SinusoidalPositions(nn.Module):
    """Add sines and cosines of geometrically growing wavelengths; nothing is learned.

    `x[p, 2i] += sin(p / 10000^(2i / width))`, and the cosine of the same at `2i + 1`. Computed anew
    each time, so that no length is the longest and no table is lost or rounded by `model.to`.

    Args:
        width: Size of the vectors. Even.

    Raises:
        ConfigError: `width` is odd.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ConfigError(f"width must be even for sinusoidal positions, got {width}")
        self.width = width

    def forward(
        self, x: Float[Tensor, "batch length width"], *, offset: int = 0
    ) -> Float[Tensor, "batch length width"]:
        angle = _angles(offset, x.shape[1], self.width, like=x)
        return x + torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(x.dtype)


class LearnedPositions(nn.Module):
    """Add one learned vector for each position.

    Args:
        width: Size of the vectors.
        max_length: Positions that exist.

    Raises:
        ShapeError: A position at or beyond `max_length` is asked for.

    Source:
        Gehring et al. 2017, arXiv:1705.03122, section 3.1.
    """

    def __init__(self, width: int, *, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.table = nn.Parameter(torch.randn(max_length, width) * width**-0.5)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, offset: int = 0
    ) -> Float[Tensor, "batch length width"]:
        stop = offset + x.shape[1]
        if stop > self.max_length:
            raise ShapeError(f"length must be at most {self.max_length} positions, got {stop}")
        return x + self.table[offset:stop]


class RotaryPositions(nn.Module):
    """Rotate pairs of query and key components by an angle that grows with the position.

    The pair `(x[i], x[i + dim/2])` at position `p` turns by `p / base^(2i / dim)`, so that the
    product of a query and a key depends on the distance between them only. The paper pairs
    neighbours `(2i, 2i + 1)`; halves are the same up to a fixed permutation of components.

    Args:
        dim: Size of one head. Even.
        base: Of the wavelengths.
        pairs: Which pairs a head still has, of one that was `whole` wide. `None` means all.
        whole: What stands for `dim` in the wavelengths. `None` means `dim`.

    Raises:
        ConfigError: `dim` is odd, `pairs` are not `dim / 2` different ones below `whole / 2`.
        ShapeError: What is turned is not `dim` wide.

    Source:
        Su et al. 2021, arXiv:2104.09864, section 3.2.2, equations 14 to 16.
    """

    def __init__(
        self,
        dim: int,
        *,
        base: float = 10_000.0,
        pairs: Sequence[int] | None = None,
        whole: int | None = None,
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ConfigError(f"dim must be even for rotary positions, got {dim}")
        self.dim, self.base, self.whole = dim, base, dim if whole is None else whole
        self.pairs = tuple(range(dim // 2)) if pairs is None else tuple(pairs)
        if len(set(self.pairs)) != dim // 2 or not set(self.pairs) <= set(range(self.whole // 2)):
            raise ConfigError(
                f"pairs must be {dim // 2} different ones below {self.whole // 2}, got {self.pairs}"
            )

    def forward(
        self, x: Float[Tensor, "batch heads length dim"], *, offset: int = 0
    ) -> Float[Tensor, "batch heads length dim"]:
        if x.shape[-1] != self.dim:
            raise ShapeError(f"x must have dim {self.dim}, got {x.shape[-1]}")
        angle = _angles(offset, x.shape[2], self.whole, like=x, base=self.base)
        if len(self.pairs) < angle.shape[1]:
            angle = angle[:, list(self.pairs)]
        cos, sin = angle.cos(), angle.sin()
        first, second = x.to(angle.dtype).split(self.dim // 2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)


class RelativePositions(nn.Module):
    """Add to every score a learned number for its head and its distance, in buckets.

    Half of the buckets is for keys ahead of the query, half for the others. Of each half, `h`
    buckets, the near distances `d < e = h // 2` have one each; those beyond share the others, which
    widen: `e + floor((h - e) * log(d / e) / log(max_distance / e))`, the last taking all the rest.
    T5 does so in encoders, and has one table for all layers. Here decoders do the same, so that
    their buckets ahead are never used, and every attention has a table of its own.

    Args:
        heads: Number of query heads.
        buckets: Numbers learned a head. Even, at least 4.
        max_distance: From here on all distances share the last bucket.

    Raises:
        ConfigError: `buckets` is odd or below 4, or `max_distance` is not beyond the near ones.

    Source:
        Raffel et al. 2020, arXiv:1910.10683, section 2.1.

    Cost:
        Stores `heads x queries x keys` numbers while it runs.
    """

    def __init__(self, heads: int, *, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        if buckets < 4 or buckets % 2:
            raise ConfigError(f"buckets must be even and at least 4, got {buckets}")
        if max_distance <= buckets // 4:
            raise ConfigError(
                f"max_distance must be above buckets // 4, got {max_distance=}, {buckets=}"
            )
        self.heads, self.buckets = heads, buckets
        self.starts = _bucket_starts(buckets // 2, max_distance)
        self.table = nn.Parameter(torch.zeros(buckets, heads))

    def forward(self, queries: int, keys: int) -> Float[Tensor, "1 heads queries keys"]:
        device = self.table.device
        query = torch.arange(keys - queries, keys, device=device)[:, None]
        distance = torch.arange(keys, device=device) - query
        starts = torch.tensor(self.starts, device=device)
        bucket = torch.bucketize(distance.abs(), starts, right=True) - 1
        ahead = self.buckets // 2 * (distance > 0)
        return self.table[bucket + ahead].permute(2, 0, 1)[None]


class AlibiPositions(nn.Module):
    """Take from every score a share of the distance, at a slope of its own in each head.

    The bias is `-slope * |distance|`; nothing is learned. With `m` heads, a power of two, head `h`
    has slope `2^(-8 h / m)`, counted from 1. Other head counts take the slopes of the largest power
    of two below, and then every other slope of the next one, the first, third, ..., as the paper's
    code does. The paper looks back only; here keys ahead are as far as those behind.

    Args:
        heads: Number of query heads.

    Raises:
        ConfigError: `heads` is below 1.

    Source:
        Press et al. 2021, arXiv:2108.12409, section 3.

    Cost:
        Stores `heads x queries x keys` numbers while it runs.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        if heads < 1:
            raise ConfigError(f"heads must be at least 1, got {heads}")
        self.heads, self.whole = heads, 1 << (heads.bit_length() - 1)
        halves = [2 * h for h in range(1, self.whole + 1)] + list(range(1, 2 * self.whole, 2))
        # Whole numbers, which `model.bfloat16()` does not round; the slope is 2^(-4 n / whole).
        self.halves: Tensor
        self.register_buffer("halves", torch.tensor(halves[:heads]), persistent=False)

    def forward(self, queries: int, keys: int) -> Float[Tensor, "1 heads queries keys"]:
        device = self.halves.device
        query = torch.arange(keys - queries, keys, device=device)[:, None]
        distance = (query - torch.arange(keys, device=device)).abs()
        slope = torch.exp2(self.halves * (-4 / self.whole))
        return -(slope[:, None, None] * distance)[None]


def _angles(
    offset: int, length: int, size: int, *, like: Tensor, base: float = 10_000.0
) -> Float[Tensor, "length half"]:
    """Return `p / base^(2i / size)` for each position `p` from `offset` on and each pair `i`.

    In float32 at least: bf16 cannot tell positions beyond 256 apart. And never from a buffer, which
    `model.bfloat16()` would round.
    """
    exact = torch.promote_types(like.dtype, torch.float32)
    position = torch.arange(offset, offset + length, device=like.device, dtype=exact)
    exponent = torch.arange(0, size, 2, device=like.device, dtype=exact) / -size
    return position[:, None] * base**exponent


def _bucket_starts(half: int, max_distance: int) -> list[int]:
    """Return the smallest distance of each bucket.

    In whole numbers, because a logarithm that is rounded otherwise on another device would put the
    distances 16, 32, 64 into other buckets there.
    """
    near = half // 2
    wide = half - near
    starts = list(range(near))
    for step in range(wide):
        distance = near
        while distance**wide < near ** (wide - step) * max_distance**step:
            distance += 1
        starts.append(distance)
    return starts
