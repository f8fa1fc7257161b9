"""The native kernel as a torch operator: for autograd, torch.compile, export and counting modes.

`heedful::attend` takes a `Pattern` as its parts, because operators know tensors and numbers only.
Only what must go through torch's dispatcher comes here; `autograd` serves the rest.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch.utils.flop_counter import register_flop_formula

from heedful.errors import UnsupportedError
from heedful.kernels import composed, hidden
from heedful.kernels.call import Call
from heedful.kernels.cpu import guarded, native
from heedful.mask import Pattern

_PATTERN = (
    "Tensor? lengths, Tensor? query_ids, Tensor? key_ids, Tensor? grid, Tensor? dense, "
    "SymInt low, SymInt high, SymInt sinks, SymInt block"
)
_INPUTS = f"Tensor query, Tensor key, Tensor value, Tensor? bias, {_PATTERN}, float scale"


def attend(call: Call) -> tuple[Tensor, Tensor]:
    """Output and logarithm of the sums; both have gradients."""
    query, key, value, _, bias, scale, _ = call
    return torch.ops.heedful.attend(query, key, value, bias, *_parts(call.pattern()), scale)


def backward(
    by_output: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
    pattern: Pattern,
    scale: float,
    result: Sequence[Tensor],
    bias_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients by the operator, for a gradient that is more than its memory."""
    return torch.ops.heedful.attend_backward(
        by_output, None, *result, bias_gradient, *inputs, *_parts(pattern), scale
    )


def _parts(pattern: Pattern) -> tuple[Any, ...]:
    """In the order of the operator."""
    low, high, sinks, lengths, query_ids, key_ids, grid, block, dense = pattern
    return lengths, query_ids, key_ids, grid, dense, low, high, sinks, block


def _pattern(
    lengths: Tensor | None,
    query_ids: Tensor | None,
    key_ids: Tensor | None,
    grid: Tensor | None,
    dense: Tensor | None,
    *band: int,
) -> Pattern:
    low, high, sinks, block = band
    return Pattern(low, high, sinks, lengths, query_ids, key_ids, grid, block, dense)


def _forward(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    pattern, scale = _pattern(*rest[:-1]), rest[-1]
    output, log_sum, _ = guarded.forward(query, key, value, bias, pattern, scale, log_sum=True)
    assert log_sum is not None  # noqa: S101  # asked for one line above
    return output, log_sum


def _forward_fake(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    log_sum = query.new_empty(query.shape[:3], dtype=torch.float32)
    return native.like_query(query, value.shape[3]), log_sum


def _composed(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    """The operator in torch's own, laid out alike: what an export to another format runs."""
    pattern, scale = _pattern(*rest[:-1]), rest[-1]
    visible = pattern.visible(query.shape[2], key.shape[2], query.device)
    pairs = composed.sees(visible, bias)
    seen = None if pairs is None else pairs.any(2)
    key, value = hidden.unseen(key, value, seen, query.shape[1])
    output, log_sum = composed.attend(query, key, value, bias, visible, scale)
    stride = query.stride()
    if stride[1] < stride[2]:
        output = output.transpose(1, 2).contiguous().transpose(1, 2)
    return output, log_sum


def _backward(
    by_output: Tensor,
    by_log_sum: Tensor | None,
    output: Tensor,
    log_sum: Tensor,
    bias_gradient: bool,
    *inputs: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *tensors, scale = inputs
    query, key, value, bias, *pattern = tensors
    found = guarded.backward(
        (by_output, by_log_sum),
        (query, key, value, bias),
        _pattern(*pattern),
        scale,
        (output, log_sum),
        bias_gradient=bias_gradient,
    )
    by_bias = log_sum.new_empty(0) if found.bias is None else found.bias
    return found.query, found.key, found.value, by_bias


def _backward_fake(
    by_output: Tensor,
    by_log_sum: Tensor | None,
    output: Tensor,
    log_sum: Tensor,
    bias_gradient: bool,
    *inputs: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    query, key, value = inputs[:3]
    shape = (*query.shape[:3], key.shape[2]) if bias_gradient else (0,)
    like = native.like_query
    return like(query), like(key), like(value), log_sum.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensors, ctx.numbers = inputs[:9], inputs[9:]
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, by_output: Tensor | None, by_log_sum: Tensor | None) -> tuple[Any, ...]:
    *tensors, output, log_sum = ctx.saved_tensors
    bias = tensors[3]
    wanted = bias is not None and ctx.needs_input_grad[3]
    if by_output is None:
        by_output = torch.zeros_like(output)
    by_query, by_key, by_value, by_bias = torch.ops.heedful.attend_backward(
        by_output, by_log_sum, output, log_sum, wanted, *tensors, *ctx.numbers
    )
    summed = native.fold(by_bias, bias) if wanted else None
    return (by_query, by_key, by_value, summed, *(None,) * 10)


def _no_second_gradient(ctx: Any, *gradients: Any) -> None:
    raise UnsupportedError("a gradient of the native kernel must be the first, got a second one")


def _operations(*inputs: Any, out_val: Any = None) -> int:
    """Of the two products, without what band and grid skip; other masks count as full."""
    query, key, value, _, *rest = inputs
    return int(2 * _met(query, key, _pattern(*rest[:-1])) * (query.shape[3] + value.shape[3]))


def _backward_operations(*inputs: Any, out_val: Any = None) -> int:
    """Scores are computed again: five products for two."""
    query, key, value, _, *rest = inputs[5:]
    dims = 3 * query.shape[3] + 2 * value.shape[3]
    return int(2 * _met(query, key, _pattern(*rest[:-1])) * dims)


def _met(query: Tensor, key: Tensor, pattern: Pattern) -> float:
    """Pairs of queries and keys that meet, over all heads."""
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    first = torch.arange(queries, dtype=torch.int64)
    end = (first + pattern.high + 1).clamp(0, keys)
    near = (end - (first + pattern.low).clamp(0, keys)).clamp(min=0)
    sunk = torch.minimum(end, (first + pattern.low).clamp(0, pattern.sinks))
    pairs = float((near + sunk).sum()) * batch * heads
    # a traced grid has no values, so all of it counts
    known = pattern.grid is not None and type(pattern.grid) is Tensor
    return pairs * float(pattern.grid.float().mean()) if known else pairs  # pyright: ignore[reportOptionalMemberAccess]


def _let_inductor_call() -> None:
    """Say that `torch.compile` is to call the operator, though it has a decomposition as well.

    That is what it does anyway, but torch 2.13 refuses it where the environment says CI.
    """
    from torch._inductor.lowering import make_fallback

    make_fallback(torch.ops.heedful.attend.default, warn=False)


_library = torch.library.Library("heedful", "DEF")
_TAGS = (torch.Tag.needs_exact_strides,)  # outputs are laid out as the query is
_library.define(f"attend({_INPUTS}) -> (Tensor, Tensor)", tags=_TAGS)
_library.define(
    "attend_backward(Tensor by_output, Tensor? by_log_sum, Tensor output, Tensor log_sum, "
    f"bool bias_gradient, {_INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=_TAGS,
)
_library.impl("attend", _forward, "CPU")
_library.impl("attend_backward", _backward, "CPU")
torch.library.register_fake("heedful::attend", _forward_fake, lib=_library)
torch.library.register_fake("heedful::attend_backward", _backward_fake, lib=_library)
torch.library.register_autograd("heedful::attend", _gradients, setup_context=_keep, lib=_library)
torch.library.register_autograd("heedful::attend_backward", _no_second_gradient, lib=_library)
register_decomposition(torch.ops.heedful.attend.default)(_composed)
if os.environ.get("CI"):
    _let_inductor_call()
register_flop_formula(torch.ops.heedful.attend, get_raw=True)(_operations)
register_flop_formula(torch.ops.heedful.attend_backward, get_raw=True)(_backward_operations)
