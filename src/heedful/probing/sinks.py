"""Sinks: the key that most of a head's attention goes to, whatever asks, and what it does there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.probing.call import ProbedCall
from heedful.probing.tiles import Workspace, tiles, upcast, without_grad_and_autocast
from heedful.probing.weights import AttentionWeights, WeightsTile, without_padding

SINK_MASS = 0.3  # what a sink gets of the attention of a text, at least
TIMES_EVEN = 2.0  # and so many times what equal weights would give it
NO_OP_NORM = 0.25  # below this a value is nothing beside the others
BROADCAST_RANK = 1.5  # below this all outputs of a text are one vector, more or less of it

SinkKind = Literal["no-op", "broadcast", "mixed"]


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """The key that gets most of the attention of a text, head by head: means over texts.

    A row counts where it may see two keys at least, and a text where two of its rows do: of a
    single query nobody can tell whether it looks where all would. Weights are divided by their sum
    of sizes. All tensors are `(heads,)` in float64; a head without such a text has NaN.

    Args:
        mass: Share of the attention of all rows that the key gets.
        even: What equal weights would give to a key that all rows see.
        place: At which key of the text it is, in most texts; -1 where there is none.
        agreement: The share of texts in which it is there.
        value_norm: The norm of its value, over the mean norm of the other values that are seen.
        output_rank: `(sum s^2)^2 / sum s^4` over the singular values `s` of the outputs of all
            rows: 1 where they are one vector times a number.
        texts: How many counted.

    Source:
        Two kinds and how to tell them: Fesser et al. 2026, arXiv:2606.08105, abstract: values of
        negligible norm, and outputs of low rank. The numbers that draw the lines are ours, but for
        the mass of a sink: Gu et al. 2024, arXiv:2410.10781, Section 3.1.
    """

    mass: Tensor
    even: Tensor
    place: Tensor
    agreement: Tensor
    value_norm: Tensor
    output_rank: Tensor
    texts: Tensor

    @property
    def kinds(self) -> tuple[SinkKind | None, ...]:
        """What each head does at its sink; `None` where no key gets enough to be one.

        A `"no-op"` adds next to nothing there, so the head is off. A `"broadcast"` writes the same
        vector wherever it looks from. A `"mixed"` one is a sink for some queries, and elsewhere
        the head writes something else.
        """
        return tuple(
            _kind(*numbers)
            for numbers in zip(
                self.mass.tolist(),
                self.even.tolist(),
                self.value_norm.tolist(),
                self.output_rank.tolist(),
                strict=True,
            )
        )


def _kind(mass: float, even: float, value_norm: float, output_rank: float) -> SinkKind | None:
    if not mass >= max(SINK_MASS, min(1.0, TIMES_EVEN * even)) - 1e-6:  # also where it is NaN
        return None
    if value_norm < NO_OP_NORM:
        return "no-op"
    return "broadcast" if output_rank < BROADCAST_RANK else "mixed"


class _Texts(NamedTuple):
    """What is found in each text, `(batch, heads)`; NaN where a text does not count."""

    mass: Tensor
    even: Tensor
    place: Tensor
    value_norm: Tensor
    output_rank: Tensor


def sinks(calls: Iterable[ProbedCall]) -> Sinks:
    """Find the sinks of calls with the same heads, in one pass over blocks of rows.

    Raises:
        UnsupportedError: They have other heads.

    Cost:
        Time of the weights and of one more product, with the values; memory for a block, and
        `keys + value_dim^2` numbers for each text and head of it.
    """
    found: list[_Texts] = []
    for call in calls:
        heads = found[0].mass.shape[1] if found else len(call.shown)
        if len(call.shown) != heads:
            raise UnsupportedError(
                "calls must have the same heads to be summed up together, "
                f"got {len(call.shown)} after {heads}; choose one with call="
            )
        with without_grad_and_autocast(call.value.device):
            found.append(_of_call(call))
    return _means(_Texts(*(torch.cat(values) for values in zip(*found, strict=True))))


def _of_call(call: ProbedCall) -> _Texts:
    attention, (batch, heads, rows, keys) = call.weights, call.shape
    nothing = torch.full((batch, heads), torch.nan, dtype=torch.float64)
    found = _Texts(*(nothing.clone() for _ in _Texts._fields))
    cut = attention.tiles(tiles(batch, call.shown, rows, keys), Workspace())
    for (texts, some), group in groupby(cut, key=lambda item: item.tile.batch_and_heads):
        places = [call.shown.index(head) for head in some]
        for whole, part in zip(found, _of_texts(call, group), strict=True):
            whole[texts, places] = part.cpu()
    return found


def _of_texts(call: ProbedCall, group: Iterator[WeightsTile]) -> _Texts:
    """Of all rows of some texts and heads."""
    attention, first = call.weights, next(group)
    value = upcast(attention.shared(call.value, first.tile))
    sums = _Sums(value, first.weights.shape[:2], signed=attention.signed)
    sums.add(without_padding(first, attention))
    for item in group:
        sums.add(without_padding(item, attention))
    return sums.found(attention)


class _Sums:
    """Over the rows of some texts, each with some heads."""

    def __init__(self, value: Tensor, size: torch.Size, *, signed: bool) -> None:
        self.value, keys, width = value, value.shape[2], value.shape[3]
        self.signed = signed
        self.texts = slice(0)
        self.seen = torch.zeros(*size, keys, dtype=torch.bool, device=value.device)
        self.received = self.seen.double()
        self.rows, self.even = self.received[..., 0].clone(), self.received[..., 0].clone()
        self.gram = self.rows[..., None, None].expand(*size, width, width).clone()

    def add(self, item: WeightsTile) -> None:
        weights, scores, reached = item.weights, item.scores, item.weights.shape[3]
        self.texts = item.tile.batch
        sizes = weights.abs() if self.signed else weights
        sums = sizes.sum(-1)
        chooses = (item.counts > 1) & (sums != 0)
        share = torch.where(chooses, 1 / sums, 0.0)
        self.received[..., :reached] += (share[..., None, :] @ sizes)[..., 0, :]
        # what is hidden has the lowest score that there is, and a weight of 0
        if scores is None:
            largest = torch.where(chooses[..., None], sizes, 0.0).amax(2)
            self.seen[..., :reached] |= largest > 0
        else:
            largest = torch.where(chooses[..., None], scores, -torch.inf).amax(2)
            self.seen[..., :reached] |= largest > torch.finfo(scores.dtype).min / 2
        self.rows += chooses.sum(-1)
        self.even += torch.where(chooses, 1 / item.counts, 0.0).sum(-1)
        outputs = (weights @ self.value[:, :, :reached].to(weights.dtype)) * chooses[..., None]
        self.gram += outputs.mT @ outputs

    def found(self, attention: AttentionWeights) -> _Texts:
        counts = self.rows > 1
        mass, place = (self.received / self.rows[..., None]).max(-1)
        norms = torch.linalg.vector_norm(self.value.double(), dim=-1).expand(self.seen.shape)
        own = norms.gather(2, place[..., None])[..., 0]
        others = self.seen.scatter(2, place[..., None], False)
        rest = (norms * others).sum(-1) / others.sum(-1)
        trace = self.gram.diagonal(dim1=-2, dim2=-1).sum(-1)
        rank = trace.square() / self.gram.square().sum((-2, -1))
        text = attention.text
        if text is not None and text.start is not None:
            place = place - text.start[self.texts, None].to(place.device)
        values = (mass, self.even / self.rows, place.double(), own / rest, rank)
        return _Texts(*(torch.where(counts, value, torch.nan) for value in values))


def _means(texts: _Texts) -> Sinks:
    counted = ~texts.mass.isnan()
    place = torch.full((texts.mass.shape[1],), -1.0, dtype=torch.float64)
    agreement = torch.full_like(place, torch.nan)
    for head in range(len(place)):
        here = texts.place[counted[:, head], head]
        if len(here):
            place[head] = here.mode().values
            agreement[head] = (here == place[head]).double().mean()
    return Sinks(
        mass=texts.mass.nanmean(0),
        even=texts.even.nanmean(0),
        place=place,
        agreement=agreement,
        value_norm=texts.value_norm.nanmean(0),
        output_rank=texts.output_rank.nanmean(0),
        texts=counted.double().sum(0),
    )
