"""Tensors that end, or begin, at a page that nobody may touch: an access beyond ends the process.

A sanitizer does not see the masked loads of AVX-512; the hardware sees everything. Copies are as
long as what the tensor spans, so that this works for every layout, and they are not aligned, as
nobody promised that tensors are.
"""

import ctypes
import mmap
from typing import Any

import torch
from torch import Tensor

from heedful.kernels.cpu import native
from heedful.mask import Pattern

_PROTECT_NONE = 0
_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_made = 0


def guarded(tensor: Tensor) -> Tensor:
    """The same numbers in the same layout, with a page behind or in front that is out of bounds."""
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    room = _room(span, tensor.dtype)
    room.copy_(tensor.detach().as_strided((span,), (1,)))
    return room.as_strided(tensor.shape, tensor.stride())


def _room(count: int, dtype: torch.dtype) -> Tensor:
    """Uninitialised; every other one begins behind the page, the rest end before it."""
    global _made
    _made += 1
    size, page = count * dtype.itemsize, mmap.PAGESIZE
    pages = -(-size // page)
    area = mmap.mmap(-1, (pages + 1) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    behind = _made % 2 == 0
    if _protect(start if behind else start + pages * page, page, _PROTECT_NONE):
        raise OSError(ctypes.get_errno(), "a page must be protected")
    return torch.frombuffer(
        area, dtype=dtype, count=count, offset=page if behind else pages * page - size
    )


def guard_kernel() -> None:
    """Let the native kernel read from, and write to, nothing but such tensors."""
    rows, known, room = native._rows, native._known, native.like_query
    forward, backward = native.forward, native.backward

    def pattern(whole: Pattern) -> Pattern:
        return Pattern(*(guarded(x) if isinstance(x, Tensor) else x for x in whole))

    def like_query(query: Tensor, dim: int | None = None) -> Tensor:
        return guarded(room(query, dim).fill_(torch.nan))

    native._rows = lambda tensor: guarded(rows(tensor))
    native._known = lambda bias: None if bias is None else guarded(known(bias))
    native.like_query = like_query

    def guarded_forward(*given: Any, **options: Any) -> Any:
        return forward(*given[:4], pattern(given[4]), *given[5:], **options)

    def guarded_backward(by: Any, inputs: Any, whole: Pattern, *given: Any, **options: Any) -> Any:
        return backward(by, inputs, pattern(whole), *given, **options)

    native.forward, native.backward = guarded_forward, guarded_backward
