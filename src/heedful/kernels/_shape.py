"""Kinds of calls: two that are alike in these take about equally long with every kernel."""

from typing import NamedTuple

import torch
from torch import Tensor

from heedful.kernels.call import NOTHING, Call
from heedful.mask import Mask

MOST_DIM, MOST_QUERIES, MOST_KEYS, MOST_ROWS, MOST_SHARED = 256, 1024, 4096, 64, 8


class Shape(NamedTuple):
    """What a call looks like to a stopwatch; lengths are rounded up to powers of two.

    Args:
        device: Its type.
        dtype: Of query, key and value.
        dim: Rounded up to a multiple of 16.
        value_dim: As `dim`.
        queries: At most 1024.
        keys: At most 4096.
        rows: `batch * heads`, at most 64.
        shared: Query heads per key/value head, at most 8.
        mask: "full", "causal" (the square triangle), "sparse" (a band, lengths, segments), "dense",
            or "blocks of N".
        bias: "", "bias", or "bias with gradient".
        gradient: Will somebody ask for one?
        threads: Of torch, in this process.
    """

    device: str
    dtype: torch.dtype
    dim: int
    value_dim: int
    queries: int
    keys: int
    rows: int
    shared: int
    mask: str
    bias: str
    gradient: bool
    threads: int


def shape_of(call: Call) -> Shape:
    """The kind of a call."""
    query, _, value, mask, bias, _, _ = call
    batch, heads, queries, dim = query.shape
    _, kv_heads, keys, value_dim = value.shape
    gradient = call.needs_gradient()
    return Shape(
        query.device.type,
        query.dtype,
        min((dim + 15) & ~15, MOST_DIM),
        min((value_dim + 15) & ~15, MOST_DIM),
        min(1 << (queries - 1).bit_length(), MOST_QUERIES),
        min(1 << (keys - 1).bit_length(), MOST_KEYS),
        min(1 << (batch * heads - 1).bit_length(), MOST_ROWS),
        1 if heads == kv_heads else min(1 << (heads // kv_heads - 1).bit_length(), MOST_SHARED),
        "full" if mask is None else _mask_of(call, mask),
        "" if bias is None else _bias_of(bias, gradient),
        gradient,
        torch.get_num_threads(),
    )


def exact(call: Call) -> tuple[object, ...]:
    """All of a call that its kind depends on, without rounding: cheaper to compare."""
    query, key, value, mask, bias, _, _ = call
    gradient = call.needs_gradient()
    return (
        query.shape,
        key.shape,
        value.shape,
        query.dtype,
        key.dtype,
        value.dtype,
        query.device,
        None if mask is None else _mask_of(call, mask),
        None if bias is None else _bias_of(bias, gradient),
        gradient,
        torch.get_num_threads(),
    )


def words_of(shape: Shape) -> str:
    """The same in words; a GPU by its name, because a table may outlive the machine."""
    device = torch.cuda.get_device_name() if shape.device == "cuda" else shape.device
    words = [
        f"{device} {str(shape.dtype).removeprefix('torch.')}",
        f"{shape.rows} x {shape.queries} x {shape.keys}",
        f"dim {shape.dim}, {shape.value_dim}",
        f"heads share {shape.shared} to 1" if shape.shared > 1 else "",
        f"mask {shape.mask}",
        shape.bias,
        "gradient" if shape.gradient else "",
        f"threads {shape.threads}",
    ]
    return "; ".join(filter(None, words))


def _mask_of(call: Call, mask: Mask) -> str:
    if mask.is_causal(call.query.shape[2], call.key.shape[2]):
        return "causal"
    pattern = call.pattern()
    if pattern.dense is not None:
        return "dense"
    if pattern.grid is not None:
        return f"blocks of {pattern.block}"
    # a mask that hides nothing at these lengths is taken apart into nothing
    hides = pattern.low != NOTHING.low or pattern.high != NOTHING.high
    hides = hides or pattern.lengths is not None or pattern.query_ids is not None
    return "sparse" if hides else "full"


def _bias_of(bias: Tensor, gradient: bool) -> str:
    return "bias with gradient" if gradient and bias.requires_grad else "bias"
