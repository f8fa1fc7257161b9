"""Who else is listening: raw memory is read and written only where nobody is.

A tensor is more than its memory. A trace, a mode, a transform of torch.func or a level of dual
numbers wants to see every operation, and a subclass, a negative bit or another layout says that the
numbers are not what lies at the address. Whoever takes an address asks here first.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad

_PLAIN = (Tensor, torch.nn.Parameter)


def raw(*tensors: Tensor | None) -> bool:
    """May these tensors be read at their address, and results be written past torch's dispatcher?

    Args:
        tensors: All that a call reads; `None` is nothing.
    """
    if not unobserved():
        return False
    for tensor in tensors:
        if tensor is not None and not in_memory(tensor):
            return False
    return True


def in_memory(tensor: Tensor) -> bool:
    """Do the tensor's numbers lie at its address, with its strides?"""
    return (
        type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        and not tensor.is_neg()
        and not tensor._is_zerotensor()  # pyright: ignore[reportPrivateUsage]
        and not tensor.is_meta
    )


def unobserved() -> bool:
    """Does nobody want to see the operations themselves?"""
    return (
        not compiling()
        and not torch._C._len_torch_dispatch_stack()  # pyright: ignore[reportPrivateUsage]
        and not torch._C._len_torch_function_stack()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        and not transformed()
        and not dual()
        and not traced()
    )


def may_look(*tensors: Tensor | None) -> bool:
    """May values decide what is done next? Not in a graph, and for a GPU one would have to wait."""
    return raw(*tensors) and all(x is None or x.is_cpu for x in tensors)


def compiling() -> bool:
    """Does `torch.compile` or `torch.export` write operations down?

    Asked before anything else, because their tracer follows no other question.
    """
    return torch.compiler.is_compiling()


def transformed() -> bool:
    """Is a transform of torch.func under way, such as `vmap` or `grad`?"""
    return not compiling() and torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


def dual() -> bool:
    """Are tangents carried along, by dual numbers or `torch.func.jvp`?"""
    return not compiling() and forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]


def traced() -> bool:
    """Does `torch.jit.trace` write operations down?"""
    return not compiling() and torch._C._is_tracing()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
