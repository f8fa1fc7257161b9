"""The native kernel: exact attention on CPU in C++, compiled for this machine at first use."""

import torch
from torch import Tensor

from heedful.errors import KernelError
from heedful.kernels.call import Call, Missing
from heedful.kernels.cpu import autograd, guarded, native
from heedful.listeners import dual, raw, traced, transformed, unobserved


def refuses(call: Call) -> str | None:
    """Why the native kernel cannot take this call; `None`: it can."""
    query, key, value = call.query, call.key, call.value
    if not query.is_cpu:
        return f"the native kernel runs on CPU, the query is on {query.device.type}"
    if call.bias is not None and not call.bias.is_cpu:
        return f"the bias must be on CPU like the query, got one on {call.bias.device.type}"
    if call.dropout:
        return "dropout needs the weights, which the native kernel never stores"
    if query.dtype not in native.TYPES:
        return f"the native kernel computes in float32, bfloat16 or float16, got {query.dtype}"
    if not unobserved() and (transformed() or dual()):
        what = "transforms of torch.func" if transformed() else "forward-mode derivatives"
        return f"{what} need plain torch operations"
    if query.layout is not torch.strided or key.layout is not torch.strided:
        return f"query and key must be dense, got {query.layout} and {key.layout}"
    if not (query.numel() and key.numel() and value.numel()):
        return "there is nothing to compute"
    return _missing()


def avoided(call: Call) -> str | None:
    """Why "auto" leaves it alone although it could run."""
    return "a trace is for programs that know torch's operations alone" if traced() else None


def run(call: Call) -> Tensor:
    """The answer to a call that it does not refuse."""
    query, key, value, _, bias, scale, _ = call
    if not raw(query, key, value, bias):
        from heedful.kernels.cpu import operator

        return operator.attend(call)[0]
    if call.needs_gradient():
        return autograd.attend(call)
    return guarded.forward(query, key, value, bias, call.pattern(), scale).output


def _missing() -> Missing | None:
    """Why the library cannot be had; the reason is remembered with the failure."""
    if not torch.compiler.is_compiling() and native.ready():
        return None
    reason = _reason()
    return None if reason is None else Missing(reason)


def _reason() -> str | None:
    """Load the library, really, also while a graph around the call is only traced."""
    try:
        native.library()
    except KernelError as error:
        return str(error)
    return None


# What `torch.compiler.assume_constant_result` does; called here it would load the compiler.
_reason._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]
