"""Alpha-entmax of rows: how the weights are found, and their gradients of any order."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from heedful.ops._entmax_search import Alpha, solve

Rows = Callable[..., Tensor]

# How many numbers are worked on at once. A step of the search reads them several times, and what
# stays in the cache costs a third of what does not (measured, from 2^16 to 2^20).
PIECE = 1 << 19


def entmax(scores: Tensor, alpha: Alpha) -> Tensor:
    """Turn the last axis of `scores` (float32 at least) into weights that sum to one.

    Differentiable any number of times, forward and backward, also with respect to `alpha`.
    """
    if not scores.shape[-1] or (not isinstance(alpha, Tensor) and alpha == 1):
        return scores.softmax(-1)
    if torch.compiler.is_compiling():
        return _traced(scores, alpha)
    return _Entmax.apply(scores, alpha)  # pyright: ignore[reportReturnType]


def _traced(scores: Tensor, alpha: Alpha) -> Tensor:
    """The same for graphs, of operations that compilers know; up to the second derivative.

    The weights at a constant, plus the midpoint rule over a way of length 0 from there.
    """
    fixed = alpha.detach() if isinstance(alpha, Tensor) else alpha
    weights = solve(scores.detach(), fixed)
    if not torch.is_grad_enabled():
        return weights
    way, turn = scores - scores.detach(), alpha - fixed

    def moved(start: Tensor, alpha: Alpha) -> Tensor:
        slope = _slope(start, alpha)
        change = slope * (way - _mean(way, slope))
        if isinstance(alpha, Tensor):
            change = change + turn * _change_with_alpha(start, alpha)
        return change

    return weights + moved(weights + moved(weights, fixed) / 2, fixed + turn / 2)


class _Entmax(Function):
    """Alpha-entmax; its gradient follows from the weights alone."""

    @staticmethod
    def forward(scores: Tensor, alpha: Alpha) -> Tensor:
        return _by_rows(solve, alpha, scores)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _remember(ctx, inputs[1], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        (gradient,) = gradients
        alpha, weights = _recall(ctx)
        by_alpha = None
        if isinstance(alpha, Tensor) and ctx.needs_input_grad[1]:
            by_alpha = (gradient * _change_with_alpha(weights, alpha)).sum_to_size(alpha.shape)
        return _pull(weights, gradient, alpha), by_alpha

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> Any:
        return entmax(*_to_front(info, in_dims, given)), 0

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        tangent, by_alpha = tangents
        alpha, weights = _recall(ctx)
        change = torch.zeros_like(weights)
        if tangent is not None:
            change = change + _pull(weights, tangent, alpha)
        if by_alpha is not None and isinstance(alpha, Tensor):
            change = change + by_alpha * _change_with_alpha(weights, alpha)
        return change


class _Pull(Function):
    """`s (g - sum(s g) / sum(s))`: the Jacobian, which is symmetric, times `g`."""

    @staticmethod
    def forward(weights: Tensor, gradient: Tensor, alpha: Alpha) -> Tensor:
        return _by_rows(_pull_rows, alpha, weights, gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weights, gradient, alpha = inputs
        _remember(ctx, alpha, weights, gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        (other,) = gradients
        alpha, weights, gradient = _recall(ctx)
        slope = _slope(weights, alpha)
        both = (gradient - _mean(gradient, slope)) * (other - _mean(other, slope))
        by_alpha = None
        if isinstance(alpha, Tensor) and ctx.needs_input_grad[2]:
            by_alpha = (both * _slope_by_alpha(weights, slope)).sum_to_size(alpha.shape)
        by_weights = both * _slope_by_weights(weights, slope, alpha)
        return by_weights, _pull(weights, other, alpha), by_alpha

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        by_weights, by_gradient, by_alpha = tangents
        alpha, weights, gradient = _recall(ctx)
        slope = _slope(weights, alpha)
        change = torch.zeros_like(slope)
        if by_weights is not None:
            change = change + by_weights * _slope_by_weights(weights, slope, alpha)
        if by_alpha is not None:
            change = change + by_alpha * _slope_by_alpha(weights, slope)
        change = change * (gradient - _mean(gradient, slope))
        result = change - slope * (change.sum(-1, keepdim=True) / _total(slope))
        return result if by_gradient is None else result + _pull(weights, by_gradient, alpha)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> Any:
        return _pull(*_to_front(info, in_dims, given)), 0


# ---- what the rules share ------------------------------------------------------------------------


def _pull(weights: Tensor, gradient: Tensor, alpha: Alpha) -> Tensor:
    return _Pull.apply(weights, gradient, alpha)  # pyright: ignore[reportReturnType]


def _pull_rows(
    weights: Tensor, gradient: Tensor, alpha: Alpha, room: Tensor | None = None
) -> Tensor:
    if not isinstance(alpha, Tensor) and alpha == 1.5:
        # the root; MKL's takes six times as long where there are zeros
        slope = weights.clamp_min(torch.finfo(weights.dtype).tiny).rsqrt_().mul_(weights)
    else:
        slope = _slope(weights, alpha)
    pulled = torch.mul(slope, gradient, out=room)
    mean = pulled.sum(-1, keepdim=True) / _total(slope)
    return pulled.addcmul_(slope, mean, value=-1)


def _total(slope: Tensor) -> Tensor:
    # At least 1, because weights sum to one; only where a mask has emptied the row it is 0.
    return slope.sum(-1, keepdim=True).clamp_min(0.5)


def _mean(x: Tensor, slope: Tensor) -> Tensor:
    return (x * slope).sum(-1, keepdim=True) / _total(slope)


def _slope(weights: Tensor, alpha: Alpha) -> Tensor:
    """`p^(2 - alpha)`, and 0 outside of the support: how fast a weight grows with its score."""
    return torch.where(weights > 0, _positive(weights).pow(2 - alpha), 0.0)


def _slope_by_weights(weights: Tensor, slope: Tensor, alpha: Alpha) -> Tensor:
    return (2 - alpha) * slope / _positive(weights)


def _slope_by_alpha(weights: Tensor, slope: Tensor) -> Tensor:
    return -slope * _positive(weights).log()


def _positive(weights: Tensor) -> Tensor:
    """The weights, with 1 for 0, so that logarithms and powers and their gradients are finite."""
    return torch.where(weights > 0, weights, 1.0)


def _change_with_alpha(weights: Tensor, alpha: Tensor) -> Tensor:
    """The derivative of the weights with respect to `alpha`, also at `alpha = 1`.

    Proposition 1 of arXiv:1909.00015 divides by `(alpha - 1)^2`. The same thing in terms of
    `t = (alpha - 1) log p` is `p log(p)^2 (1 - t - exp(-t)) / t^2`, less its share for the sum to
    stay 1, and near `t = 0` that fraction is a series.
    """
    logs = _positive(weights).log()
    steepness = alpha - 1
    t = steepness * logs
    near = t > -1
    small = torch.where(near, t, 0.0)
    series = torch.zeros_like(small)
    for order in range(17, -1, -1):
        series = 1 / (order + 2) - small * series / (order + 2)
    slope = _slope(weights, alpha)
    # where `t` is not near 0, `alpha - 1` is not either: no logarithm is below -745
    far = (slope - weights + weights * t) / steepness.clamp_min(1e-3).square()
    pushed = -torch.where(near, weights * logs.square() * series, far)
    return pushed - slope * (pushed.sum(-1, keepdim=True) / _total(slope))


def _remember(ctx: Any, alpha: Alpha, *tensors: Tensor) -> None:
    given = (alpha, *tensors) if isinstance(alpha, Tensor) else tensors
    ctx.save_for_backward(*given)
    ctx.save_for_forward(*given)
    ctx.alpha = None if isinstance(alpha, Tensor) else alpha


def _recall(ctx: Any) -> tuple[Any, ...]:
    return ctx.saved_tensors if ctx.alpha is None else (ctx.alpha, *ctx.saved_tensors)


def _to_front(info: Any, in_dims: tuple[Any, ...], given: tuple[Any, ...]) -> list[Any]:
    """What is mapped over becomes the first axis, as large for everything."""
    moved: list[Any] = []
    for x, axis in zip(given, in_dims, strict=True):
        if not isinstance(x, Tensor):
            moved.append(x)
        elif axis is None:
            moved.append(x.expand(info.batch_size, *x.shape))
        else:
            moved.append(x.movedim(axis, 0))
    return moved


def _by_rows(rows: Rows, alpha: Alpha, *tensors: Tensor) -> Tensor:
    """Call `rows` on a few rows at a time: the search goes over them again and again.

    It may leave its result in the tensor that it is given last, and so save memory whose first
    touch takes as long as the arithmetic.
    """
    shape = tensors[0].shape
    if tensors[0].numel() <= PIECE:
        return rows(*tensors, alpha)
    flat = [x.reshape(-1, shape[-1]) for x in tensors]
    many = max(1, PIECE // shape[-1])
    if isinstance(alpha, Tensor):
        alphas: Any = alpha.expand(*shape[:-1], 1).reshape(-1, 1).split(many)
    else:
        alphas = [alpha] * -(-len(flat[0]) // many)
    result = torch.empty_like(flat[0])
    pieces = zip(result.split(many), *(x.split(many) for x in flat), alphas, strict=True)
    for piece, *given in pieces:
        found = rows(*given, piece)
        if found is not piece:
            piece.copy_(found)
    return result.view(shape)
