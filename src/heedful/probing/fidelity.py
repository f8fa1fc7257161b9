"""Proof that a map is the one the model used: what it gives, against what the model took."""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.probing.call import ProbedCall
from heedful.probing.explicit_weights import ReturnedWeights
from heedful.probing.tiles import (
    Tile,
    Workspace,
    evenly_spaced,
    tiles,
    upcast,
    without_grad_and_autocast,
)

CHECKED_ROWS = 8  # rows of a call that are compared whenever its map is read
CHECKED_CALLS = 4  # calls of a site of which they are
LIMIT = 0.01  # what is further off than this is another map


class Fidelity(NamedTuple):
    """How far what the map gives is from what the model used.

    Args:
        error: The largest difference, relative to the largest share that attention has in what is
            compared; some thousandths at most in half precision, millionths in float32. `None`
            when nothing can be told.
        reason: Why nothing can be told.
        compared: What of the model was compared.
    """

    error: float | None
    reason: str | None
    compared: str


def fidelity(call: ProbedCall, *, rows: int | None = None) -> Fidelity:
    """Compute the output from the map and compare.

    Where the model shows only what comes after attention, that is computed too: the output
    projection of `nn.MultiheadAttention`, and all the rest of a fused `nn.TransformerEncoderLayer`.
    The share of attention is what changes there when its mixed values are set to 0. Rows that only
    are padding are left out, and so are rows that see nothing where the model has no number.

    Args:
        call: Whose map.
        rows: How many rows of it are compared, evenly spread. `None` means all.

    Cost:
        Time for the scores and two passes over each weight; memory for one block and the output.
    """
    if call.unverifiable is not None:
        return Fidelity(None, call.unverifiable, call.compared)
    if isinstance(call.weights, ReturnedWeights):
        return Fidelity(0.0, None, call.compared)
    if not call.output.numel():
        return Fidelity(None, "there is no row to compare", call.compared)
    if any(stamp.changed() for stamp in call.parameters):
        reason = "the parameters after attention have changed since"
        return Fidelity(None, reason, call.compared)
    with without_grad_and_autocast(call.output.device):
        return _compare(call, evenly_spaced(len(call.weights.rows), rows))


def differs(call: ProbedCall, error: float | None) -> bool:
    """Is the map so far from what the model used that it is another one?"""
    if error is None:
        return False
    limit = max(LIMIT, 8 * torch.finfo(call.output.dtype).eps)
    return math.isnan(error) or error > limit


class FidelityChecks:
    """Checks of the maps that were read, each done and reported once."""

    def __init__(self) -> None:
        self._errors: dict[int, float | None] = {}
        self._warned: set[str] = set()

    def check(self, site: str, calls: Sequence[ProbedCall]) -> float | None:
        """Compare a few rows of a few calls; return the largest error that can be told.

        Args:
            site: What warns of its maps, once, when they are not those that the model used.
            calls: Which were read; they live as long as this.
        """
        worst: float | None = None
        for call in [calls[place] for place in evenly_spaced(len(calls), CHECKED_CALLS)]:
            if id(call) not in self._errors:
                self._errors[id(call)] = fidelity(call, rows=CHECKED_ROWS).error
            error = self._errors[id(call)]
            if differs(call, error) and site not in self._warned:
                self._warned.add(site)
                warnings.warn(
                    f"the maps of {site!r} are not those that the model used, got an error of "
                    f"{error:.2g} of what attention adds there; Probe.fidelity says more",
                    stacklevel=3,
                )
            if error is not None and (worst is None or math.isnan(error) or error > worst):
                worst = error
        return worst


def _compare(call: ProbedCall, rows: Sequence[int]) -> Fidelity:
    mixed, blind = mixed_values(call, rows)
    used = upcast(call.output[:, :, rows] if call.output.ndim == 4 else call.output[:, rows])
    expected = mixed if call.finish is None else call.finish(mixed, rows)
    without = torch.zeros_like(mixed) if call.finish is None else call.finish(mixed.zero_(), rows)
    blind = blind[:, None, :, None] if used.ndim == 4 else blind[..., None]
    left_out = blind & used.isnan()
    if call.padding_rows is not None:
        missing = call.padding_rows[:, rows]
        left_out = left_out | (missing[:, None, :, None] if used.ndim == 4 else missing[..., None])
    difference = (expected - used).masked_fill(left_out, 0.0).abs()
    share = (used - without).masked_fill(left_out, 0.0).abs().max().item()
    largest = used.masked_fill(left_out, 0.0).abs().max().item()
    error = difference.max().item()
    if share <= 8 * torch.finfo(call.output.dtype).eps * largest and call.finish is not None:
        reason = "what attention adds there is below rounding"
        return Fidelity(None, reason, call.compared)
    return Fidelity(error / share if share else float(error > 0), None, call.compared)


def mixed_values(call: ProbedCall, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sum values by the weights of a map.

    Args:
        call: Whose map.
        rows: Which of the rows that were kept.

    Returns:
        The sums `(batch, heads, rows, value_dim)`, and which rows see nothing `(batch, rows)`.
    """
    attention, value = call.weights, call.value
    size = (attention.batch, len(attention.heads), len(rows))
    mixed = upcast(value).new_zeros(*size, value.shape[3])
    blind = torch.zeros(size[0], size[2], dtype=torch.bool, device=value.device)
    for tile, weights, counts, _ in attention.tiles(_cut(call, rows), Workspace()):
        here = slice(*_places(rows, tile.rows))
        shared = upcast(attention.shared(value, tile))[:, :, : weights.shape[3]]
        mixed[tile.batch, list(tile.heads), here] = weights @ shared
        blind[tile.batch, here] |= (counts == 0).any(1)
    return mixed, blind


def _cut(call: ProbedCall, rows: Sequence[int]) -> list[Tile]:
    attention = call.weights
    size = attention.batch, range(len(attention.heads))
    if len(rows) == len(attention.rows):
        return [*tiles(*size, len(rows), attention.keys)]
    single = [*tiles(*size, 1, attention.keys)]
    return [tile._replace(rows=slice(row, row + 1)) for tile in single for row in rows]


def _places(rows: Sequence[int], part: slice) -> tuple[int, int]:
    """Where the rows of a part stand among those that are compared."""
    start = rows.index(part.start)
    return start, start + part.stop - part.start
