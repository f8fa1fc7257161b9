"""Weights that a mechanism or a module states itself, all rows at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.probing.parts import Part, Room, quiet, wide
from heedful.probing.weighing import Block, Weigher, look_up


@dataclass(frozen=True, kw_only=True)
class ByMechanism(Weigher):
    """The weights that a mechanism states itself, all rows at once: rows may depend on each other.

    Args:
        mechanism: As it was when it was called.
        query: All rows and heads.
        key: All keys and heads.
        mask: Who sees whom.
    """

    mechanism: Mechanism
    query: Tensor
    key: Tensor
    mask: Mask | None

    signed = True

    @property
    def ruled_by(self) -> Mask | None:
        return self.mask

    def blocks(self, cut: Iterable[Part], room: Room) -> Iterator[Block]:
        whole: Tensor | None = None
        for part in cut:
            with quiet(self.key.device):
                if whole is None:
                    whole = wide(self.mechanism.weights(self.query, self.key, mask=self.mask))
                heads = [self.heads[head] for head in part.heads]
                block = _block(self, part, whole[part.batch][:, heads][:, :, self.rows[part.rows]])
            yield block


@dataclass(frozen=True, kw_only=True)
class Returned(Weigher):
    """The weights that a module returned itself: nothing is computed again.

    Args:
        returned: `(batch, heads, rows, keys)`, of the heads and rows that were kept.
        mask: Who sees whom.
    """

    returned: Tensor
    mask: Mask | None = None

    @property
    def ruled_by(self) -> Mask | None:
        return self.mask

    def blocks(self, cut: Iterable[Part], room: Room) -> Iterator[Block]:
        for part in cut:
            with quiet(self.returned.device):
                weights = wide(self.returned[part.batch, list(part.heads), part.rows])
                block = _block(self, part, weights)
            yield block


def _block(weigher: Weigher, part: Part, weights: Tensor) -> Block:
    """The block of one part whose weights were not computed from scores."""
    counts = weights.new_full(weights.shape[:3], weigher.keys)
    if weigher.ruled_by is not None:
        visible = look_up(weigher.ruled_by, weigher, part)
        counts = visible.to(weights.dtype).sum(-1).expand(weights.shape[:3])
    return Block(part, weights, counts, None)
