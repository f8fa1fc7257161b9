"""Proof that a map is the one the model used: what it gives, against what the model took."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.probing.call import Call
from heedful.probing.parts import Room, parts, quiet, wide


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


def fidelity(call: Call) -> Fidelity:
    """Compute the output from the map and compare.

    Where the model shows only what comes after attention, that is computed too: the output
    projection of `nn.MultiheadAttention`, and all the rest of a fused `nn.TransformerEncoderLayer`.
    The share of attention is what changes there when its mixed values are set to 0. Rows that only
    are padding are left out, and so are rows that see nothing where the model has no number.

    Cost:
        Time for the scores and two passes over each weight; memory for one block and the output.
    """
    if call.unproven is not None:
        return Fidelity(None, call.unproven, call.compared)
    if any(stamp.changed() for stamp in call.parameters):
        reason = "the parameters after attention have changed since"
        return Fidelity(None, reason, call.compared)
    with quiet(call.used.device):
        return _compare(call)


def _compare(call: Call) -> Fidelity:
    mixed, blind = _mix(call)
    used = wide(call.used)
    expected = mixed if call.finish is None else call.finish(mixed)
    without = torch.zeros_like(mixed) if call.finish is None else call.finish(mixed.zero_())
    blind = blind[:, None, :, None] if used.ndim == 4 else blind[..., None]
    left_out = blind & used.isnan()
    if call.missing is not None:
        left_out = left_out | call.missing[..., None]
    difference = (expected - used).masked_fill(left_out, 0.0).abs()
    share = (used - without).masked_fill(left_out, 0.0).abs().max().item()
    largest = used.masked_fill(left_out, 0.0).abs().max().item()
    error = difference.max().item()
    if share <= 8 * torch.finfo(call.used.dtype).eps * largest and call.finish is not None:
        reason = "what attention adds there is below rounding"
        return Fidelity(None, reason, call.compared)
    return Fidelity(error / share if share else float(error > 0), None, call.compared)


def _mix(call: Call) -> tuple[Tensor, Tensor]:
    """The sums of values `(batch, heads, rows, value_dim)`, and which rows see nothing."""
    weigher, value = call.weigher, call.value
    size = (weigher.batch, len(weigher.heads), len(weigher.rows))
    mixed = wide(value).new_zeros(*size, value.shape[3])
    blind = torch.zeros(size[0], size[2], dtype=torch.bool, device=value.device)
    cut = parts(size[0], range(size[1]), size[2], weigher.keys)
    for part, weights, counts, _ in weigher.blocks(cut, Room()):
        shared = wide(weigher.shared(value, part))[:, :, : weights.shape[3]]
        mixed[part.batch, list(part.heads), part.rows] = weights @ shared
        blind[part.batch, part.rows] |= (counts == 0).any(1)
    return mixed, blind
