"""Sharpness: how far the largest weights of a head fall when there are more keys to choose from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.probing.tiles import Workspace, tiles
from heedful.probing.weights import AttentionWeights, ScaledDotWeights, without_padding

TIMES = (1, 2, 4)  # as many keys


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """The same queries among `n`, `2n` and `4n` keys, each number a mean over rows.

    The further keys of a text are those of the texts behind it in the batch: each query is compared
    with what queries of its place see there, by the masks and biases of those texts. So it says
    what becomes of the weights of *these* queries and keys among more keys of their kind, which is
    where a softmax must disperse: its weights fall with their number unless its scores grow. It
    does not say what the model would do with a longer text: no key stands at a place beyond the
    text, all layers below are as they were, and texts of other lengths bring other numbers of keys.

    All tensors are in float64, NaN where the batch has fewer than so many texts, or where the
    weights are no softmax of scaled products.

    Args:
        top: The largest weight, `(3, heads)`.
        effective_keys: `exp` of the entropy, `(3, heads)`.
        largest_score: The largest score of all that go into the softmax, `(heads,)`.

    Source:
        Velickovic et al. 2024, "softmax is not enough (for sharp size generalisation)",
        arXiv:2410.01104, Theorem 2.2.
    """

    top: Tensor
    effective_keys: Tensor
    largest_score: Tensor


class _Rows(NamedTuple):
    """What a softmax of each row is made of, `(batch, heads, rows)`."""

    largest: Tensor  # score
    log_sum: Tensor  # of the exponentials of the scores
    mean: Tensor  # score, by weight
    counts: Tensor  # keys; 0 where it is padding


def sharpness(calls: Iterable[tuple[AttentionWeights, Sequence[int]]], *, heads: int) -> Sharpness:
    """Compare the queries of each text with the keys of up to four.

    Args:
        calls: How each call weighed, and which of its heads count.
        heads: How many these are.

    Cost:
        Four times the scores and their softmax; memory for a block, and 16 numbers a row and head.
    """
    sums = torch.zeros(2, len(TIMES), heads, dtype=torch.float64)
    rows = torch.zeros(len(TIMES), heads, dtype=torch.float64)
    largest = torch.full((heads,), -torch.inf, dtype=torch.float64)
    for attention, chosen in calls:
        if not isinstance(attention, ScaledDotWeights):
            continue
        most = max(times for times in TIMES if times <= max(1, attention.batch))
        met = [_meet(attention, chosen, shift) for shift in range(most)]
        counted = torch.stack([each.counts for each in met]).gt(0).all(0)
        for place, times in enumerate(times for times in TIMES if times <= most):
            numbers = torch.stack(tuple(_among(met[:times])))
            sums[:, place] += torch.where(counted, numbers, 0.0).sum((1, 3))
            rows[place] += counted.sum((0, 2))
        own = torch.where(met[0].counts > 0, met[0].largest, -torch.inf)
        largest = torch.maximum(largest, own.movedim(1, 0).flatten(1).amax(1))
    top, effective_keys = sums / rows
    return Sharpness(
        top=top,
        effective_keys=effective_keys,
        largest_score=torch.where(largest.isfinite(), largest, torch.nan),
    )


def _meet(attention: ScaledDotWeights, heads: Sequence[int], shift: int) -> _Rows:
    """Each query among the keys of the text that stands so far behind its own."""
    # to move the queries moves no mask and no bias: these belong to the keys
    moved = replace(attention, query=attention.query.roll(shift, 0)) if shift else attention
    size = (attention.batch, len(heads), len(attention.rows))
    found = _Rows(*torch.zeros(len(_Rows._fields), *size, dtype=torch.float64))
    places = {head: place for place, head in enumerate(heads)}
    cut = tiles(attention.batch, heads, len(attention.rows), attention.keys)
    for item in moved.tiles(cut, Workspace()):
        item = without_padding(item, attention) if shift == 0 else item
        if item.scores is None:
            continue  # which no softmax does
        scores, sums, largest = item.scores, item.weights.sum(-1), item.scores.amax(-1)
        # the largest weight is that of the largest score: no second pass of exponentials
        log_sum = largest - (item.weights.amax(-1) / sums).log()
        mean = scores.mul_(item.weights).sum(-1) / sums
        part = (largest, log_sum, mean, item.counts)
        here = (item.tile.batch, [places[head] for head in item.tile.heads], item.tile.rows)
        for whole, values in zip(found, part, strict=True):
            whole[here] = values.double().cpu()
    return _Rows(*(values.roll(-shift, 0) for values in found))


def _among(met: Sequence[_Rows]) -> Iterator[Tensor]:
    """The largest weight and the effective keys of each row among all keys that it met."""
    largest, logs, mean, _ = (torch.stack(values) for values in zip(*met, strict=True))
    log_sum = logs.logsumexp(0)
    yield (largest.amax(0) - log_sum).exp()
    yield (log_sum - ((logs - log_sum).exp() * mean).sum(0)).exp()
