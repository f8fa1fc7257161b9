"""Weights that a mechanism computes, or a module returns, all rows at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.probing.tiles import Tile, Workspace, upcast, without_grad_and_autocast
from heedful.probing.weights import AttentionWeights, WeightsTile, look_up


@dataclass(frozen=True, kw_only=True)
class MechanismWeights(AttentionWeights):
    """The weights by a mechanism's `weights`, all rows at once: rows may depend on each other.

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

    def tiles(self, cut: Iterable[Tile], workspace: Workspace) -> Iterator[WeightsTile]:
        whole: Tensor | None = None
        for tile in cut:
            with without_grad_and_autocast(self.key.device):
                if whole is None:
                    whole = upcast(self.mechanism.weights(self.query, self.key, mask=self.mask))
                heads = [self.heads[head] for head in tile.heads]
                block = _block(self, tile, whole[tile.batch][:, heads][:, :, self.rows[tile.rows]])
            yield block


@dataclass(frozen=True, kw_only=True)
class ReturnedWeights(AttentionWeights):
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

    def tiles(self, cut: Iterable[Tile], workspace: Workspace) -> Iterator[WeightsTile]:
        for tile in cut:
            with without_grad_and_autocast(self.returned.device):
                weights = upcast(self.returned[tile.batch, list(tile.heads), tile.rows])
                block = _block(self, tile, weights)
            yield block


def _block(attention: AttentionWeights, tile: Tile, weights: Tensor) -> WeightsTile:
    """The tile whose weights were not computed from scores."""
    counts = weights.new_full(weights.shape[:3], attention.keys)
    if attention.ruled_by is not None:
        visible = look_up(attention.ruled_by, attention, tile)
        counts = visible.to(weights.dtype).sum(-1).expand(weights.shape[:3])
    return WeightsTile(tile, weights, counts, None)
