"""FlexAttention: for masks given as blocks, on a GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from heedful.kernels import hidden
from heedful.kernels.call import Call, bias_as
from heedful.mask import Pattern

BLOCK = 128  # positions per block of FlexAttention: smaller ones leave its kernels idle
LEAST_DIM = 16  # of a product in a GPU kernel

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

_compiled: list[Any] = []


def refuses(call: Call) -> str | None:
    """Why it cannot take this call."""
    query, value = call.query, call.value
    if query.device.type not in ("cpu", "cuda"):
        return f"FlexAttention needs a CPU or a CUDA GPU, got {query.device.type}"
    if query.device.type == "cpu" and call.needs_gradient():
        return "FlexAttention has no backward pass on CPU"
    if call.dropout:
        return "FlexAttention has no dropout"
    if call.bias is not None and call.needs_gradient() and call.bias.requires_grad:
        return "FlexAttention sums the gradient of a bias in no fixed order"
    if query.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"FlexAttention computes in single and half precision, got {query.dtype}"
    if query.device.type == "cuda" and min(query.shape[3], value.shape[3]) < LEAST_DIM:
        least = min(query.shape[3], value.shape[3])
        return f"FlexAttention needs a dim of at least {LEAST_DIM} on a GPU, got {least}"
    return None


def avoided(call: Call) -> str | None:
    """Why "auto" leaves it alone although it could run."""
    if call.query.device.type == "cpu":
        return "on CPU only when asked for by name, because it compiles for seconds"
    if call.mask is None or call.pattern().grid is None:
        return "it pays for masks that are given as blocks only"
    return None


def run(call: Call) -> Tensor:
    """The answer, whatever stands behind the mask."""
    return hidden.run(_run, call)


def _run(call: Call) -> Tensor:
    """FlexAttention, compiled once per process, over the blocks that hold anything visible."""
    return _attention()(
        call.query,
        call.key,
        call.value,
        score_mod=_score_mod(call),
        block_mask=None if call.mask is None else block_mask(call),
        scale=call.scale,
        enable_gqa=call.key.shape[1] != call.query.shape[1],
    )


def _score_mod(call: Call) -> ScoreMod | None:
    if call.bias is None:
        return None
    added = bias_as(call.bias, call.query.dtype).expand(*call.query.shape[:3], call.key.shape[2])

    def add(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return score + added[b, h, i, j]

    return add


def block_mask(call: Call) -> Any:
    """The blocks of a call's mask: from its grid where it has one, without a look at single pairs.

    In blocks that are not visible as a whole the mask's own rule decides about every pair.
    """
    batch, heads, queries, _ = call.query.shape
    keys, mask, device = call.key.shape[2], call.mask, call.query.device
    if mask is None:
        return None
    pattern = call.pattern()
    blocks = None if pattern.grid is None else _of_128(pattern.grid.to(device), pattern.block)
    if blocks is None:
        return mask.to_block_mask(queries, keys, batch=batch, heads=heads, device=device)
    some, whole = blocks
    rows, columns = -(-queries // BLOCK), -(-keys // BLOCK)
    some, whole = some[..., :rows, :columns], whole[..., :rows, :columns]
    if pattern != Pattern(grid=pattern.grid, block=pattern.block):
        near, inside = _band(pattern, rows, columns, device)
        some, whole = some & near, whole & inside
    mask = mask.to(device)

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return mask.at(b, h, i, j, queries=queries, keys=keys)

    from torch.nn.attention.flex_attention import BlockMask

    return BlockMask.from_kv_blocks(
        *_listed(some & ~whole),
        *_listed(whole),
        BLOCK_SIZE=BLOCK,
        # also where every block is whole: what runs without the compiler asks the rule alone
        mask_mod=visible,
        seq_lengths=(queries, keys),
    )


def _of_128(grid: Tensor, block: int) -> tuple[Tensor, Tensor] | None:
    """Which blocks of 128 hold anything visible, and which nothing hidden, for all a grid says."""
    if block % BLOCK == 0:
        times = block // BLOCK
        grid = grid.repeat_interleave(times, 2).repeat_interleave(times, 3)
        return grid, grid
    if BLOCK % block:
        return None
    times = BLOCK // block
    rows, columns = (-(-size // times) for size in grid.shape[2:])
    # what lies behind the end is not there, so it hides nothing and shows nothing
    missing = (0, columns * times - grid.shape[3], 0, rows * times - grid.shape[2])
    shape = (*grid.shape[:2], rows, times, columns, times)
    some = pad(grid, missing, value=False).view(shape).any(5).any(3)
    return some, pad(grid, missing, value=True).view(shape).all(5).all(3)


def _band(pattern: Pattern, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which blocks a band touches, and which lie in it whole, with nothing else that could hide."""
    first_row = torch.arange(rows, device=device)[:, None] * BLOCK
    first_column = torch.arange(columns, device=device) * BLOCK
    least, most = first_column - first_row - BLOCK + 1, first_column - first_row + BLOCK - 1
    near = (most >= pattern.low) | (first_column < pattern.sinks)
    near &= least <= pattern.high
    more = (pattern.lengths, pattern.query_ids, pattern.dense)
    inside = (least >= pattern.low) & (most <= pattern.high)
    return near, inside if all(x is None for x in more) else torch.zeros_like(inside)


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks each row has, and which: those first, in order."""
    numbers = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32), numbers.to(torch.int32)


def _attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    if torch.compiler.is_compiling():
        return flex_attention
    if not _compiled:
        _compiled.append(torch.compile(flex_attention, dynamic=True))
    return _compiled[0]
