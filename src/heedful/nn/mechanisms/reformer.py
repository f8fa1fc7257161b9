"""Reformer attention as a mechanism."""

from typing import Any, final

import torch
from torch import Tensor

from heedful.errors import ConfigError
from heedful.nn.mechanisms.base import OpMechanism
from heedful.ops.reformer import reformer_attention, reformer_weights


@final
class Reformer(OpMechanism, attention=reformer_attention, weights=reformer_weights):
    """Meet the keys that random hashes put near a query; exact up to `chunk` keys.

    The rotations of the hashes are drawn once, from `seed`, and saved with the module, unlike in
    the paper, which draws them anew for every batch: the same text gets the same answer.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        rounds: Hashes; more find more of the keys that matter.
        buckets: Values of one hash. Even.
        chunk: Keys per chunk; a query meets two chunks a round.
        aligned: Is it self-attention? Then padding is kept out of the chunks of queries too;
            without, the answers depend on how much padding there is.
        seed: Of the rotations.

    Raises:
        ConfigError: `rounds < 1`, `chunk < 1`, or `buckets` is not even and at least 2.

    Source:
        Kitaev et al. 2020, arXiv:2001.04451.
    """

    rotations: Tensor

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        rounds: int = 2,
        buckets: int = 16,
        chunk: int = 64,
        aligned: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        if rounds < 1 or chunk < 1:
            raise ConfigError(f"rounds and chunk must be at least 1, got {rounds=}, {chunk=}")
        if buckets < 2 or buckets % 2:
            raise ConfigError(f"buckets must be even and at least 2, got {buckets}")
        self.chunk, self.aligned = chunk, aligned
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(rounds, dim, buckets // 2, generator=generator)
        self.register_buffer("rotations", drawn)

    def arguments(self) -> dict[str, Any]:
        return {"rotations": self.rotations, "chunk": self.chunk, "aligned": self.aligned}
