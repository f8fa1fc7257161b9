"""The native kernel, and a second answer where something is not finite: see `kernels.hidden`.

The library tells it of what it writes, which costs nothing; only then keys are looked at.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from heedful.kernels import composed, hidden
from heedful.kernels.cpu import native
from heedful.kernels.cpu.native import Gradients, Result
from heedful.mask import Pattern

Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None]


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
    """As `native.forward`, whatever stands behind the mask.

    Args:
        query: As for `native.forward`, and so are the others.
        key: What is looked at.
        value: What is returned.
        bias: Added to the scores.
        pattern: Who sees whom.
        scale: Factor of the dot product.
        log_sum: Return the logarithms as well; NaN for who sees what is no number.
    """
    result = native.forward(query, key, value, bias, pattern, scale, log_sum=log_sum)
    if result.finite:
        return result
    visible = _visible(query, key, pattern)
    found = hidden.clean(query, key, value, bias, visible, scale)
    if found is None:
        return result
    output, sums, finite = native.forward(*_inputs(found), pattern, scale, log_sum=log_sum)
    if found.sees is not None:
        other = composed.exact(found.query, key, value, bias, visible, scale)
        output.copy_(torch.where(found.sees, other, output))
        sums = None if sums is None else sums.masked_fill(found.sees[..., 0], float("nan"))
    return Result(output, sums, finite)


def backward(
    gradient: tuple[Tensor, Tensor | None],
    inputs: Inputs,
    pattern: Pattern,
    scale: float,
    result: tuple[Tensor, Tensor],
    *,
    bias_gradient: bool = False,
) -> Gradients:
    """As `native.backward`, whatever stands behind the mask.

    Args:
        gradient: As for `native.backward`, and so are the others.
        inputs: Query, key, value and bias.
        pattern: Who sees whom.
        scale: Factor of the dot product.
        result: What `forward` returned, with logarithms.
        bias_gradient: Return the gradient of the bias before it was broadcast.
    """
    back = native.backward(gradient, inputs, pattern, scale, result, bias_gradient=bias_gradient)
    if back.finite:
        return back
    visible = _visible(inputs[0], inputs[1], pattern)
    found = hidden.clean(*inputs, visible, scale)
    if found is None:
        return back
    cleaned = _inputs(found)
    output, sums, _ = native.forward(*cleaned, pattern, scale, log_sum=True)
    assert sums is not None  # noqa: S101  # asked for one line above
    away = found.blind if found.sees is None else found.blind | found.sees
    by_output = gradient[0].masked_fill(away, 0.0)
    by_sums = None if gradient[1] is None else gradient[1].masked_fill(away[..., 0], 0.0)
    back = native.backward(
        (by_output, by_sums), cleaned, pattern, scale, (output, sums), bias_gradient=bias_gradient
    )
    back = back._replace(
        query=back.query.masked_fill(found.blind, 0.0),
        key=back.key.masked_fill(found.spoilt, 0.0),
        value=back.value.masked_fill(found.spoilt, 0.0),
    )
    if found.sees is None:
        return back
    by_output = gradient[0].masked_fill(~found.sees, 0.0)
    # in a thread of its own: within an operator of torch's, nobody keeps what a gradient needs
    with ThreadPoolExecutor(1) as apart:
        seen = apart.submit(_of_exact, by_output, (found.query, *inputs[1:]), visible, scale)
        other = seen.result()
    by_bias = None if back.bias is None or other.bias is None else back.bias + other.bias
    by_query, by_key = back.query + other.query, back.key + other.key
    return Gradients(by_query, by_key, back.value + other.value, by_bias, False)


def _of_exact(by_output: Tensor, inputs: Inputs, visible: Tensor | None, scale: float) -> Gradients:
    """The gradients of those who see what is no number."""
    *tensors, bias = inputs
    with torch.enable_grad():
        query, key, value = leaves = [x.detach().requires_grad_() for x in tensors]
        if bias is not None:
            bias = bias.detach().float().expand(*query.shape[:3], key.shape[2]).requires_grad_()
            leaves = [*leaves, bias]
        output = composed.exact(query, key, value, bias, visible, scale)
        query, key, value, *rest = torch.autograd.grad(output, leaves, by_output)
    return Gradients(query, key, value, rest[0] if rest else None, False)


def _inputs(found: hidden.Clean) -> Inputs:
    return found.query, found.key, found.value, found.bias


def _visible(query: Tensor, key: Tensor, pattern: Pattern) -> Tensor | None:
    return pattern.visible(query.shape[2], key.shape[2], query.device)
