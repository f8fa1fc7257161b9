"""Who else is listening: raw memory is read and written only where nobody is.

A tensor is more than its memory. A trace, a mode, a transform of torch.func or a level of dual
numbers wants to see every operation, and a subclass, a negative bit or another layout says that the
numbers are not what lies at the address. Whoever takes an address asks here first.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

_PLAIN = (Tensor, torch.nn.Parameter)
_compiling = torch.compiler.is_compiling
_dispatch_modes = torch._C._len_torch_dispatch_stack  # pyright: ignore[reportPrivateUsage]
_function_modes = torch._C._len_torch_function_stack  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
_transform = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
_tracing = torch._C._is_tracing  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


def raw(*tensors: Tensor | None) -> bool:
    """May these tensors be read at their address, and results be written past torch's dispatcher?

    Args:
        tensors: All that a call reads; `None` is nothing.
    """
    return unobserved() and in_memory(*tensors)


def in_memory(*tensors: Tensor | None) -> bool:
    """Do the numbers of these tensors lie at their addresses, with their strides?"""
    for x in tensors:
        if x is not None and (
            type(x) not in _PLAIN
            or x.layout is not torch.strided
            or x.is_neg()
            or x._is_zerotensor()  # pyright: ignore[reportPrivateUsage]
            or x.is_meta
        ):
            return False
    return True


def unobserved() -> bool:
    """Does nobody want to see the operations themselves?"""
    # in one piece, because every call of attention pays for it
    return not (
        _compiling()
        or _dispatch_modes()
        or _function_modes()
        or _transform() is not None
        or forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]
        or _tracing()
    )


def may_look(*tensors: Tensor | None) -> bool:
    """May values decide what is done next? Not in a graph, and for a GPU one would have to wait."""
    return raw(*tensors) and all(x is None or x.is_cpu for x in tensors)


def compiling() -> bool:
    """Does `torch.compile` or `torch.export` write operations down?

    Asked before anything else, because their tracer follows no other question.
    """
    return _compiling()


def transformed() -> bool:
    """Is a transform of torch.func under way, such as `vmap` or `grad`?"""
    return not _compiling() and _transform() is not None


def dual() -> bool:
    """Are tangents carried along, by dual numbers or `torch.func.jvp`?"""
    return not _compiling() and forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]


def exported() -> bool:
    """Is what is written down meant for other programs?"""
    return torch.compiler.is_exporting() if compiling() else traced()


def traced() -> bool:
    """Does `torch.jit.trace` write operations down?"""
    return not _compiling() and bool(_tracing())
