"""Let more query heads share one key head and one value head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from heedful.allocation.moments import Moments
from heedful.allocation.moves._align import Turns, align, distances, regrouped
from heedful.allocation.moves._check import (
    check_finite,
    check_heads,
    check_mixed,
    check_number,
    check_products,
)
from heedful.allocation.moves._metric import Inputs, inputs, mapped, mean_output
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections
from heedful.errors import UnsupportedError


@final
@dataclass(frozen=True, kw_only=True)
class ShareKeyValue(Move):
    """Merge key/value heads that are alike: turn them onto each other, then take the mean.

    Scores stay as they are when queries turn with their keys, and so does what the site gives when
    the output projection turns with the values. Where positions turn pairs of components, keys may
    only turn within these pairs. A constant difference is none: of keys the softmax does not see it
    unless positions turn them, of values the bias of the output makes up for it. The query heads
    are put into another order where that brings those together whose keys and values are alike.

    What stands around the projections decides what is allowed: values may be made of other vectors
    than keys, positions may turn pairs of components, and where keys are normalised behind their
    projection they do not turn at all. Anything else behind the projections must not be there.

    Args:
        kv_heads: How many stay.

    Raises:
        ConfigError: `kv_heads` is below 1 or far too large.

    Source:
        Jin et al. 2024, arXiv:2412.20677 (heads are turned onto each other before they are merged).
        Ainslie et al. 2023, arXiv:2305.13245, section 2.1 (merging by the mean).

    Cost:
        Saves the merged heads' share of the key and value projections and of what decoding stores.
    """

    kv_heads: int

    def __post_init__(self) -> None:
        check_number("kv_heads", self.kv_heads)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_heads(site)
        check_mixed(site)
        check_products(site)
        present = site.geometry.kv_heads
        if self.kv_heads >= present or present % self.kv_heads:
            raise UnsupportedError(
                f"kv_heads must be below {present} here and divide it, got {self.kv_heads}"
            )
        check_finite(site, moments)
        context = inputs(None if moments is None else moments.context, site.key)
        source = inputs(None if moments is None else moments.values, site.value)
        keys, values = _products(site, context, source)
        turns = _turns(site)
        likeness = distances(keys, turns=turns) / _total(keys) + distances(values) / _total(values)
        neighbours = torch.arange(present).unflatten(0, (self.kv_heads, -1)).tolist()
        merges = [
            _merge(groups, keys, values, turns)
            for groups in (neighbours, regrouped(neighbours, likeness))
        ]
        merged = _merged(site, min(merges, key=lambda merge: merge.error), self.kv_heads)
        bias = site.out.new_zeros(site.geometry.out) if site.out_bias is None else site.out_bias
        return merged.with_(out_bias=bias + mean_output(site, source) - mean_output(merged, source))


def _turns(site: Projections) -> Turns:
    """How keys may turn without changing scores, where queries turn with them."""
    if site.normed:
        return "none"
    return "any" if site.rotary is None else "pairs"


def _products(site: Projections, context: Inputs, source: Inputs) -> tuple[Tensor, Tensor]:
    """Return `A_i A_j^T` of what every two key heads and every two value heads give on the data."""
    key, value = site.key.double(), site.value.double()
    keys = (key @ context.covariance)[:, None] @ key.mT
    values = (value @ source.covariance)[:, None] @ value.mT
    if site.rotary is not None or site.normed:
        means = context.means(site.key, site.key_bias)
        keys = keys + means[:, None, :, None] * means[:, None]
    return keys, values


def _merge(groups: Sequence[Sequence[int]], keys: Tensor, values: Tensor, turns: Turns) -> "_Merge":
    key = [align(keys[group][:, group], turns=turns) for group in groups]
    value = [align(values[group][:, group]) for group in groups]
    return _Merge(
        error=sum(error for _, error in key) / _total(keys)
        + sum(error for _, error in value) / _total(values),
        order=[head for group in groups for head in group],
        key=torch.cat([turns for turns, _ in key]),
        value=torch.cat([turns for turns, _ in value]),
    )


def _merged(site: Projections, merge: "_Merge", kv_heads: int) -> Projections:
    """Return the site with its heads in the order of the groups, turned, and merged."""
    order, shared = merge.order, site.groups
    rows = [head * shared + i for head in order for i in range(shared)]
    toward_keys, toward_values = (
        turns.repeat_interleave(shared, dim=0) for turns in (merge.key, merge.value)
    )

    def mean(turns: Tensor, x: Tensor) -> Tensor:
        return mapped(turns, x[order]).unflatten(0, (kv_heads, -1)).mean(1)

    return site.with_(
        query=mapped(toward_keys, site.query[rows]),
        query_bias=None if site.query_bias is None else mapped(toward_keys, site.query_bias[rows]),
        key=mean(merge.key, site.key),
        key_bias=None if site.key_bias is None else mean(merge.key, site.key_bias),
        value=mean(merge.value, site.value),
        value_bias=None if site.value_bias is None else mean(merge.value, site.value_bias),
        out=mapped(toward_values, site.out[rows]),
        origin=tuple(site.origin[row] for row in rows),
    )


def _total(products: Tensor) -> float:
    """Return the sum of squares of all heads; where they give nothing, any number will do."""
    total = products.diagonal(dim1=-2, dim2=-1).sum(-1).trace()
    return float(total) or 1.0


@dataclass(frozen=True, kw_only=True)
class _Merge:
    """Which heads come together, in order, and how each of them turns."""

    error: float
    order: list[int]
    key: Tensor
    value: Tensor
