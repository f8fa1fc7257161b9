"""The native kernel under autograd, past torch's dispatcher: for calls that nobody traces.

`operator` does the same for those that are traced, at ten times the fixed cost.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from heedful.kernels.call import Call
from heedful.kernels.cpu import guarded, native
from heedful.listeners import raw
from heedful.mask import Pattern


def attend(call: Call) -> Tensor:
    """The output; its gradient computes the weights again."""
    pattern = call.pattern()
    return _Attend.apply(call.query, call.key, call.value, call.bias, pattern, call.scale)


class _Attend(Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        pattern: Pattern,
        scale: float,
    ) -> Tensor:
        output, log_sum, _ = guarded.forward(query, key, value, bias, pattern, scale, log_sum=True)
        ctx.save_for_backward(query, key, value, bias, output, log_sum)
        ctx.pattern, ctx.scale = pattern, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: a checkpoint unpacks them by computing again
        query, key, value, bias, *result = saved
        wanted = ctx.needs_input_grad[3]
        if not raw(gradients[0], *saved):
            from heedful.kernels.cpu import operator

            inputs = (query, key, value, bias)
            by = operator.backward(gradients[0], inputs, ctx.pattern, ctx.scale, result, wanted)
            return (*by[:3], native.fold(by[3], bias) if wanted else None, None, None)
        found = guarded.backward(
            (gradients[0], None),
            (query, key, value, bias),
            ctx.pattern,
            ctx.scale,
            tuple(result),
            bias_gradient=wanted,
        )
        return (*found[:3], native.fold(found.bias, bias), None, None)
