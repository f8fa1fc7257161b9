"""Statistics of attention maps, summed up tile by tile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.errors import ConfigError, UnsupportedError
from heedful.probing.tiles import NUMBERS, Workspace, evenly_spaced, tiles
from heedful.probing.weights import AttentionWeights, WeightsTile, without_padding


class RowValues(NamedTuple):
    """A number for each row, and which rows count, both `(batch, heads, rows)`."""

    values: Tensor
    which: Tensor


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings:
    """What the statistics count.

    Args:
        sinks: How many first keys the sink mass adds up.
        top: How many of the largest weights the top mass adds up.
        tau: The mass that the coverage wants.
        ordered: Query rows of a call that are sorted; `None` means all.
    """

    sinks: int = 4
    top: int = 8
    tau: float = 0.9
    ordered: int | None = 64

    def __post_init__(self) -> None:
        for name in ("sinks", "top", "ordered"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be at least 1, got {number}")
        if not 0 < self.tau <= 1:
            raise ConfigError(f"tau must be above 0 and at most 1, got {self.tau}")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """How the heads of one site look, each number a mean over the rows that see something.

    With the weights `a` of a row, divided by their sum (of sizes, where a weight is negative), over
    the `n` keys that the row may see. Every number is `(heads,)` in float64; a head without rows
    has NaN. `gini`, `top_mass` and `coverage` need sorted rows and are means over at most
    `ordered_rows` of them, evenly spread: exact where that is all rows, and otherwise with a
    standard error of the spread between rows divided by `sqrt(ordered_rows)`. All else is exact up
    to the rounding of the weights.

    Args:
        entropy: `H = -sum a log a`.
        normalised_entropy: `H / log n`, of the rows that may see two keys at least: 1 is even.
        effective_keys: `exp(H)`, 1 to n.
        participation: `1 / sum a^2`, 1 to n.
        gini: `sum (2 i - n - 1) a_(i) / n`, ascending: 0 is even, `1 - 1/n` one key alone.
        sink_mass: Weight of the first keys of the text, not of padding before them; of the rows of
            which anybody can tell where the text begins, which a cache that drops keys forgets.
        top_mass: Weight of the largest weights.
        distance: `sum a |p - j|` for a query at key `p`: the last query at the last key that is no
            empty room. NaN where queries look at something else, as a translation at its source:
            places of two texts are no distance apart.
        coverage: The fewest keys that have the wanted mass, up to rounding.
        support: How many weights are above 0, in the arithmetic of the map.
        rows: Rows that see something and give it weight.
        empty_rows: The others, which are in no mean, and so are rows that only are padding.
        ordered_rows: Rows that were sorted.
        error: How far some rows of the maps are from what the model used; see `Fidelity`. `None`
            where nothing can be told.

    Source:
        Entropy and effective keys as perplexity: Shannon 1948. Gini: Hurley and Rickard 2009,
        arXiv:0811.4706. Dispersion: Velickovic et al. 2024, arXiv:2410.01104.
    """

    entropy: Tensor
    normalised_entropy: Tensor
    effective_keys: Tensor
    participation: Tensor
    gini: Tensor
    sink_mass: Tensor
    top_mass: Tensor
    distance: Tensor
    coverage: Tensor
    support: Tensor
    rows: Tensor
    empty_rows: Tensor
    ordered_rows: Tensor
    error: float | None = None


def statistics(
    calls: Iterable[tuple[AttentionWeights, Sequence[int]]],
    settings: StatisticsSettings,
    *,
    block: int | None = None,
) -> Statistics:
    """Sum up calls with the same heads, in one pass over blocks of rows.

    Args:
        calls: How each call weighed, and which of its heads count.
        settings: What is counted.
        block: Query rows in one block. `None` means: as many as stay in the cache.

    Cost:
        Time for the scores, their softmax and some eight passes over each weight; memory for three
        blocks and the rows to be sorted, of one batch row and head at a time when keys are many.
    """
    totals = _Totals()
    workspace = Workspace()
    for attention, heads in calls:
        totals.begin(len(heads))
        chosen = evenly_spaced(len(attention.rows), settings.ordered)
        cut = tiles(attention.batch, heads, len(attention.rows), attention.keys, block=block)
        parts = groupby(attention.tiles(cut, workspace), key=lambda item: item.tile.batch_and_heads)
        for (_, some), group in parts:
            places = [list(heads).index(head) for head in some]
            sample: list[tuple[Tensor, Tensor]] = []
            for item in group:
                item = without_padding(item, attention)
                totals.add(places, _streamed(item, attention, settings, workspace))
                rows = item.tile.rows
                here = [row - rows.start for row in chosen if rows.start <= row < rows.stop]
                few = _padded(item.weights[:, :, here].abs(), attention.keys)
                sample.append((few, item.counts[:, :, here]))
            few, n = (torch.cat(pieces, dim=2) for pieces in zip(*sample, strict=True))
            for piece in _in_pieces(few, n):
                totals.add(places, _ordered(*piece, settings))
    return totals.mean()


def _streamed(
    item: WeightsTile,
    attention: AttentionWeights,
    settings: StatisticsSettings,
    workspace: Workspace,
) -> dict[str, RowValues]:
    """What needs no order."""
    weights = item.weights.abs() if attention.signed else item.weights
    scratch = workspace.buffer("scratch", weights.shape, weights)
    sums = weights.sum(-1)
    seeing = (item.counts > 0) & (sums != 0)
    entropy = _entropy(weights, sums, item.scores, scratch)
    keys = torch.arange(weights.shape[3], device=weights.device, dtype=weights.dtype)
    steps = workspace.buffer("steps", weights.shape[2:], weights)
    position = attention.position[item.tile.rows].to(weights.dtype)
    torch.sub(keys, position[:, None], out=steps).abs_()
    start = None if attention.text is None else attention.text.start
    known = attention.text is None or start is not None
    first = weights[..., : settings.sinks]
    if start is not None and start.any():
        place = (keys - start[item.tile.batch, None])[:, None, None]
        first = torch.where((place >= 0) & (place < settings.sinks), weights, 0.0)
    distance = torch.mul(weights, steps, out=scratch).sum(-1) / sums
    values = {
        "entropy": entropy,
        "effective_keys": entropy.exp(),
        "participation": (sums / torch.linalg.vector_norm(weights, dim=-1)).square(),
        "support": torch.gt(weights, 0, out=scratch).sum(-1),
    }
    nobody = torch.zeros_like(seeing)
    return {name: RowValues(value, seeing) for name, value in values.items()} | {
        "distance": RowValues(distance, seeing if attention.self_attention else nobody),
        "sink_mass": RowValues(first.sum(-1) / sums, seeing if known else nobody),
        "normalised_entropy": RowValues(entropy / item.counts.log(), seeing & (item.counts > 1)),
        "empty": RowValues((~seeing).to(sums.dtype), torch.ones_like(seeing)),
    }


def _entropy(weights: Tensor, sums: Tensor, scores: Tensor | None, scratch: Tensor) -> Tensor:
    if scores is None:
        logs = torch.clamp(weights, min=torch.finfo(weights.dtype).tiny, out=scratch).log_()
        return sums.log() - logs.mul_(weights).sum(-1) / sums
    # the logarithm of a softmax is its scores, shifted: no second pass through a logarithm
    shift = scores.amax(-1) - (weights.amax(-1) / sums).log()
    return shift - torch.mul(weights, scores, out=scratch).sum(-1) / sums


def _ordered(weights: Tensor, counts: Tensor, settings: StatisticsSettings) -> dict[str, RowValues]:
    """What needs sorted rows."""
    ascending = weights.sort(-1).values.double()
    keys = weights.shape[3]
    sums, n = ascending.sum(-1), counts.double()
    place = torch.arange(1, keys + 1, device=weights.device, dtype=torch.float64)
    # hidden keys stand first with weight 0, so that visible ones are numbered from keys - n + 1 on
    linear = 2 * (ascending @ place) - (2 * (keys - n) + n + 1) * sums
    mass = ascending.flip(-1).cumsum(-1)
    wanted = settings.tau * (1 - keys * torch.finfo(weights.dtype).eps) * sums
    values = {
        "gini": linear / (n * sums),
        "top_mass": mass[..., min(settings.top, keys) - 1] / sums,
        "coverage": ((mass < wanted[..., None]).sum(-1) + 1).double(),
    }
    return {name: RowValues(value, (n > 0) & (sums != 0)) for name, value in values.items()}


class _Totals:
    """Sums over the rows that count, in float64, for each statistic and head."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] = {}
        self._heads = 0

    def begin(self, heads: int) -> None:
        """Say how many heads there are; they stay as many.

        Raises:
            UnsupportedError: There were others before.
        """
        if self._heads not in (0, heads):
            raise UnsupportedError(
                "calls must have the same heads to be summed up together, "
                f"got {heads} after {self._heads}; choose one with call="
            )
        self._heads = heads

    def add(self, places: list[int], rows: dict[str, RowValues]) -> None:
        for name, (values, which) in rows.items():
            if name not in self._sums:
                zeros = torch.zeros(self._heads, dtype=torch.float64)
                self._sums[name], self._rows[name] = zeros, zeros.clone()
            sums = torch.where(which, values.double(), 0.0).sum((0, 2))
            self._sums[name][places] += sums.cpu()
            self._rows[name][places] += which.double().sum((0, 2)).cpu()

    def mean(self) -> Statistics:
        nothing = torch.zeros(self._heads, dtype=torch.float64)
        counted: dict[str, Any] = {
            "rows": self._rows.get("entropy", nothing),
            "empty_rows": self._sums.get("empty", nothing),
            "ordered_rows": self._rows.get("gini", nothing),
        }
        names = {field.name for field in fields(Statistics)} - {*counted, "error"}
        means: dict[str, Any] = {
            name: self._sums.get(name, nothing) / self._rows.get(name, nothing) for name in names
        }
        return Statistics(**means, **counted)


def _padded(weights: Tensor, keys: int) -> Tensor:
    """With a weight of 0 for the keys that no row of the block sees."""
    return torch.nn.functional.pad(weights, (0, keys - weights.shape[3]))


def _in_pieces(few: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Few rows at a time, since sorting takes several times their memory."""
    size = max(1, NUMBERS * few.shape[2] // max(1, few.numel()))
    return zip(few.split(size, dim=2), counts.split(size, dim=2), strict=True)
