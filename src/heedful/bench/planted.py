"""Queries, keys and values whose attention lies in a few blocks, as that of trained models does."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import ConfigError

SCORE = 9.0  # of a planted pair, where others have 0
SPREAD = 0.1  # by which this differs from block to block, as a share of it
NOISE = 0.3  # in every number, so that single scores differ by about 1


class Planted(NamedTuple):
    """Tensors, and where their attention was planted.

    Args:
        query: `(batch, heads, length, dim)`.
        key: The same shape.
        value: The same shape; every number from the same normal distribution.
        grid: `(batch, heads, blocks, blocks)`: which blocks of keys a block of queries looks at.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    grid: Tensor


def planted(
    length: int,
    *,
    batch: int = 1,
    heads: int = 8,
    dim: int = 64,
    block: int = 128,
    chosen: int = 4,
    causal: bool = False,
    seed: int = 1,
) -> Planted:
    """Make tensors in which nearly all attention goes to a few blocks of keys.

    Each block of queries looks at the first block of keys, at its own, and at `chosen` others that
    are drawn anew for each head. Each block of keys carries a direction of its own, and a query the
    sum of those it looks at, some more than others, plus noise.

    Args:
        length: Queries, and keys.
        batch: Rows of the batch.
        heads: Heads.
        dim: Of queries, keys and values. With more than `dim` blocks, directions are no longer all
            at right angles, and the other blocks get more attention.
        block: Positions per block.
        chosen: Blocks that a block of queries looks at besides the first and its own.
        causal: Do these lie before its own block? Then the first blocks have fewer.
        seed: Of all random numbers.

    Raises:
        ConfigError: `block` does not divide `length`, or there are not `chosen` other blocks.
    """
    if block < 1 or length < 1 or length % block:
        raise ConfigError(f"block must divide length, got {block=}, {length=}")
    blocks = length // block
    if not 0 <= chosen <= max(0, blocks - 2):
        raise ConfigError(
            f"chosen must be at least 0 and leave two blocks, got {chosen=} of {blocks=}"
        )
    generator = torch.Generator().manual_seed(seed)

    def noise(size: float) -> Tensor:
        return torch.randn(batch, heads, length, dim, generator=generator) * size

    grid = _grid((batch, heads, blocks, blocks), chosen, causal, generator)
    directions = _directions((batch, heads), blocks, dim, generator)
    # between a query and a key that it looks at `SCORE` is the score, at the scale 1 / sqrt(dim)
    directions = directions * (SCORE * dim**0.5) ** 0.5
    strength = 1 + SPREAD * (2 * torch.rand(grid.shape, generator=generator) - 1)
    looks = ((grid * strength) @ directions).repeat_interleave(block, 2)
    query = looks + noise(NOISE)
    key = directions.repeat_interleave(block, 2) + noise(NOISE)
    return Planted(query, key, noise(1.0), grid)


def _grid(
    shape: tuple[int, int, int, int], chosen: int, causal: bool, generator: torch.Generator
) -> Tensor:
    draw = torch.rand(shape, generator=generator)
    row, column = torch.arange(shape[2])[:, None], torch.arange(shape[3])
    always = (column == 0) | (column == row)
    allowed = ~always & ((column < row) | (not causal))
    draw = draw.masked_fill(~allowed, -1.0)
    places = draw.topk(chosen, -1).indices
    grid = torch.zeros(shape, dtype=torch.bool).scatter_(-1, places, True) & allowed
    return grid | always


def _directions(
    shape: tuple[int, int], blocks: int, dim: int, generator: torch.Generator
) -> Tensor:
    """Unit vectors `(batch, heads, blocks, dim)`, each `dim` in a row at right angles."""
    sets = -(-blocks // dim)
    random = torch.randn(*shape, sets, dim, dim, generator=generator)
    return torch.linalg.qr(random)[0].flatten(2, 3)[:, :, :blocks]
