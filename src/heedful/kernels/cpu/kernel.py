"""The native kernel: exact attention on CPU in C++, compiled for this machine at first use."""

import torch
from torch import Tensor

from heedful.errors import KernelError
from heedful.kernels.call import Call, Missing
from heedful.kernels.cpu import autograd, native

_PLAIN = (Tensor, torch.nn.Parameter)


def refuses(call: Call) -> str | None:
    """Why the native kernel cannot take this call; `None`: it can."""
    query, key, value = call.query, call.key, call.value
    if not (query.is_cpu and key.is_cpu and value.is_cpu):
        return f"the native kernel runs on CPU, the query is on {query.device.type}"
    if call.bias is not None and not call.bias.is_cpu:
        return f"the bias must be on CPU like the query, got one on {call.bias.device.type}"
    if call.dropout:
        return "dropout needs the weights, which the native kernel never stores"
    if query.dtype not in native.TYPES:
        return f"the native kernel computes in float32, bfloat16 or float16, got {query.dtype}"
    if key.dtype != query.dtype or value.dtype != query.dtype:
        return f"query, key and value must have one dtype, got {key.dtype} and {value.dtype}"
    # while a graph is compiled there is one too, but that one knows operators
    if not torch.compiler.is_compiling() and _transformed():
        return "transforms of torch.func need plain torch operations"
    if not (query.numel() and key.numel() and value.numel()):
        return "there is nothing to compute"
    return _missing()


def run(call: Call) -> Tensor:
    """The answer to a call that it does not refuse."""
    if torch.compiler.is_compiling() or _watched(call):
        from heedful.kernels.cpu import operator

        return operator.attend(call)[0]
    if call.needs_gradient():
        return autograd.attend(call)
    pattern = call.pattern()
    return native.forward(call.query, call.key, call.value, call.bias, pattern, call.scale)[0]


def _watched(call: Call) -> bool:
    """Somebody traces or counts operations, which only operators show."""
    return (
        type(call.query) not in _PLAIN or torch._C._len_torch_dispatch_stack() > 0  # pyright: ignore[reportPrivateUsage]
    )


def _transformed() -> bool:
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


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
