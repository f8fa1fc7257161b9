"""Call the library: a tensor becomes an address with strides, a call becomes one packed struct."""

import ctypes
import struct
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.errors import KernelError
from heedful.kernels.call import bias_as
from heedful.kernels.cpu import build
from heedful.mask import Pattern

NOT_FINITE = 4  # what the library answers where something that it wrote is NaN or inf
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}

# As `struct Call` in call.h: how many 8-byte fields stand where; the scale is the one that is no
# integer.
_HEAD = struct.Struct("<10q5q12qd6qq4qqq4qq4q")
_TAIL = struct.Struct("<qq3q3q9qq")
SIZE = _HEAD.size + _TAIL.size
_NO_TAIL = bytes(_TAIL.size)
_NOWHERE = (0, 0, 0, 0, 0)


class Result(NamedTuple):
    """What `forward` returns; `log_sum` is `None` unless it was asked for.

    `finite` says that every number of `output` is one.
    """

    output: Tensor
    log_sum: Tensor | None
    finite: bool


class Gradients(NamedTuple):
    """What `backward` returns; `bias` is `None` unless it was asked for.

    `finite` says that every number of the other three is one.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    finite: bool


class _Library(NamedTuple):
    forward: Any
    backward: Any
    read: Any


_library: list[_Library] = []  # none or one


def ready() -> bool:
    """Is the library loaded?"""
    return bool(_library) and build.switched_on()


def library() -> _Library:
    """The functions of the library, compiled and loaded at the first call.

    Raises:
        KernelError: It cannot be had here.
    """
    if not build.switched_on() or not _library:
        loaded = build.load()
        if loaded.heedful_call_size() != SIZE:
            raise KernelError(
                f"the library must take calls of {SIZE} bytes, got {loaded.heedful_call_size()}"
            )
        for function in (loaded.heedful_forward, loaded.heedful_backward):
            function.argtypes = [ctypes.c_char_p]
        loaded.heedful_read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        loaded.heedful_read.restype = ctypes.c_float
        _library[:] = [
            _Library(loaded.heedful_forward, loaded.heedful_backward, loaded.heedful_read)
        ]
    return _library[0]


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    pattern: Pattern,
    scale: float,
    *,
    log_sum: bool = False,
) -> Result:
    """The output, and on demand the logarithm of the sum of every row's exponentials.

    Args:
        query: `(batch, heads, queries, dim)`, of a dtype in `TYPES`, on CPU, not empty.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        bias: Broadcasts to `(batch, heads, queries, keys)`.
        pattern: Who sees whom.
        scale: Factor of the dot product.
        log_sum: Return the logarithms as well: float32, -inf where nothing is visible.

    Raises:
        KernelError: The library cannot be had, or there is no memory.
    """
    query, key, value = _rows(query), _rows(key), _rows(value)
    bias = _known(bias)
    batch, heads, queries, _ = query.shape
    output = like_query(query, value.shape[3])
    sums = query.new_empty((batch, heads, queries), dtype=torch.float32) if log_sum else None
    head = _head(query, key, value, bias, pattern, scale, output, sums)
    finite = _check((_library or [library()])[0].forward(head + _NO_TAIL))
    return Result(output, sums, finite)


def backward(
    gradient: tuple[Tensor, Tensor | None],
    inputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
    pattern: Pattern,
    scale: float,
    result: tuple[Tensor, Tensor],
    *,
    bias_gradient: bool = False,
) -> Gradients:
    """The gradients, all sums in an order that does not depend on the threads.

    Args:
        gradient: With respect to the output and to the logarithms.
        inputs: Query, key, value and bias, as for `forward`.
        pattern: As for `forward`.
        scale: As for `forward`.
        result: What `forward` returned, with logarithms.
        bias_gradient: Return the gradient of the bias before it was broadcast.

    Raises:
        KernelError: The library cannot be had, or there is no memory.
    """
    query, key, value = _rows(inputs[0]), _rows(inputs[1]), _rows(inputs[2])
    bias = _known(inputs[3])
    by_output = _rows(gradient[0])
    by_log_sum = None if gradient[1] is None else gradient[1].contiguous()
    output, log_sum = _rows(result[0]), result[1].contiguous()
    by_query, by_key, by_value = like_query(query), like_query(key), like_query(value)
    batch, heads, queries, _ = query.shape
    by_bias = None
    if bias_gradient:
        by_bias = query.new_zeros((batch, heads, queries, key.shape[2]), dtype=torch.float32)
    head = _head(query, key, value, bias, pattern, scale, output, log_sum)
    tail = _TAIL.pack(
        0 if by_log_sum is None else by_log_sum.data_ptr(),
        by_output.data_ptr(),
        *by_output.stride()[:3],
        by_query.data_ptr(),
        by_key.data_ptr(),
        by_value.data_ptr(),
        *by_query.stride()[:3],
        *by_key.stride()[:3],
        *by_value.stride()[:3],
        0 if by_bias is None else by_bias.data_ptr(),
    )
    finite = _check((_library or [library()])[0].backward(head + tail))
    return Gradients(by_query, by_key, by_value, by_bias, finite)


def fold(gradient: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """The gradient of a bias as it was before it was broadcast."""
    if gradient is None or bias is None:
        return None
    return gradient.sum_to_size(bias.shape).to(bias.dtype)


def read_all(tensor: Tensor) -> float:
    """Read a contiguous float32 tensor once with all threads: what that takes is bandwidth."""
    count = tensor.numel() * tensor.element_size() // 4
    return (_library or [library()])[0].read(tensor.data_ptr(), count)


def like_query(query: Tensor, dim: int | None = None) -> Tensor:
    """Room for what lies as `query` does: heads outside of positions, or inside.

    The second is how projections leave them, and what is laid out so need not be copied after.
    """
    batch, heads, length, own = query.shape
    dim = own if dim is None else dim
    stride = query.stride()
    if stride[1] < stride[2]:
        return query.new_empty((batch, length, heads, dim)).transpose(1, 2)
    return query.new_empty((batch, heads, length, dim))


def _head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    pattern: Pattern,
    scale: float,
    output: Tensor,
    log_sum: Tensor | None,
) -> bytes:
    batch, heads, queries, dim = query.shape
    kv_heads, keys, value_dim = value.shape[1:]
    low, high, sinks, lengths, query_ids, key_ids, grid, block, dense = pattern
    for tensor in (lengths, query_ids, key_ids, grid, dense):
        if tensor is not None and not tensor.is_cpu:
            raise KernelError(f"the mask must be on CPU like the query, got {tensor.device.type}")
    return _HEAD.pack(
        SIZE,
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        dim,
        value_dim,
        TYPES[query.dtype],
        0 if bias is None else TYPES[bias.dtype],
        query.data_ptr(),
        key.data_ptr(),
        value.data_ptr(),
        output.data_ptr(),
        0 if log_sum is None else log_sum.data_ptr(),
        *query.stride()[:3],
        *key.stride()[:3],
        *value.stride()[:3],
        *output.stride()[:3],
        scale,
        low,
        high,
        sinks,
        0 if lengths is None else lengths.data_ptr(),
        0 if query_ids is None else query_ids.data_ptr(),
        0 if key_ids is None else key_ids.data_ptr(),
        *_place(grid),
        block,
        *_place(dense),
        *_place(bias),
    )


def _place(tensor: Tensor | None) -> tuple[int, ...]:
    """Address and strides of four axes, the first of which may be missing; 0: one entry for all."""
    if tensor is None:
        return _NOWHERE
    strides = [
        0 if size == 1 else stride
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    ]
    return (tensor.data_ptr(), *(0,) * (4 - len(strides)), *strides)


def _rows(tensor: Tensor) -> Tensor:
    """The kernel reads a position as one piece."""
    return tensor if tensor.stride(3) == 1 else tensor.contiguous()


def _known(bias: Tensor | None) -> Tensor | None:
    return bias if bias is None or bias.dtype in TYPES else bias_as(bias, torch.float32)


def _check(code: int) -> bool:
    """Whether all that was written is finite.

    Raises:
        KernelError: Nothing was written.
    """
    if code in (0, NOT_FINITE):
        return not code
    words = {1: "a call of another size", 2: "no memory left", 3: "an unknown dtype"}
    raise KernelError(f"the native kernel must be able to run, got {words[code]}")
