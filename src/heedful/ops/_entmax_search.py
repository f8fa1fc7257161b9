"""Alpha-entmax of rows: the search for the number that makes the weights sum to one."""

import math

import torch
from torch import Tensor

Alpha = float | Tensor  # a number, or a tensor with as many axes as the scores, the last of size 1

# Newton's method comes from one side and cannot overshoot; after so many steps the sum of weights
# is 1 up to rounding (measured for 2 to 65536 keys and sixteen shapes of rows, in float64).
STEPS_ONE_AND_A_HALF = 8
STEPS = 14


def solve(scores: Tensor, alpha: Alpha, room: Tensor | None = None) -> Tensor:
    """The weights of every row.

    Args:
        scores: In float32 at least; their last axis is the one that is weighed.
        alpha: A number of at least 1, or numbers from 1 to 2.
        room: What the result may be left in.
    """
    if isinstance(alpha, Tensor) or alpha < 2:
        plain = not isinstance(alpha, Tensor) and alpha == 1.5
        return _one_and_a_half(scores, room) if plain else _newton(scores, alpha)
    return _sparsemax(scores) if alpha == 2 else _bisect(scores, alpha)


def _one_and_a_half(scores: Tensor, room: Tensor | None) -> Tensor:
    """`relu(x - tau)^2` with `x = scores / 2`.

    Newton's method on the root of the sum, which is convex in `tau` and nearly straight, needs half
    the steps that it needs on the sum itself.
    """
    x = scores * 0.5
    x = x.sub_(x.amax(-1, keepdim=True)).clamp_(min=-1)
    tau = torch.full_like(x[..., :1], -1.0)
    rest = torch.sub(x, tau, out=room)
    for _ in range(STEPS_ONE_AND_A_HALF):
        root = torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
        tau = tau + (root - 1) * root / rest.sum(-1, keepdim=True)
        rest = torch.sub(x, tau, out=room).relu_()
    return rest.square_()


def _newton(scores: Tensor, alpha: Alpha) -> Tensor:
    """`(1 + (alpha - 1)(x - shift))^(1 / (alpha - 1))`, for `alpha` from 1 to 2.

    In this form `alpha = 1` is no exception: it is `exp(x - shift)`, and one step finds the shift.
    """
    x = scores - scores.amax(-1, keepdim=True)
    steepness = _steepness(alpha)
    shift = torch.zeros_like(x[..., :1])
    for _ in range(STEPS):
        weights, slope = _power(x - shift, steepness)
        total = weights.sum(-1, keepdim=True)
        excess = (steepness * total.log()).expm1() / steepness
        shift = shift + excess * total.pow(1 - steepness) / slope.sum(-1, keepdim=True)
    weights, _ = _power(x - shift, steepness)
    return weights.div_(weights.sum(-1, keepdim=True))


def _bisect(scores: Tensor, alpha: float) -> Tensor:
    """The same for `alpha` above 2, where Newton's method may overshoot."""
    x = scores - scores.amax(-1, keepdim=True)
    steepness = alpha - 1
    low = torch.zeros_like(x[..., :1])
    high = torch.full_like(low, (1 - x.shape[-1] ** -steepness) / steepness)
    bits = 28 if x.dtype == torch.float32 else 56
    for _ in range(bits):
        middle = (low + high) / 2
        large = _power(x - middle, steepness)[0].sum(-1, keepdim=True) >= 1
        low, high = torch.where(large, middle, low), torch.where(large, high, middle)
    weights, _ = _power(x - low, steepness)
    return weights.div_(weights.sum(-1, keepdim=True))


def _sparsemax(scores: Tensor) -> Tensor:
    """`relu(x - tau)`: the threshold follows from the sorted scores."""
    x = (scores - scores.amax(-1, keepdim=True)).clamp_min(-1)  # what lies deeper has weight 0
    falling = x.sort(-1, descending=True).values
    sums = falling.cumsum(-1) - 1
    counts = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    count = (counts * falling > sums).sum(-1, keepdim=True)
    tau = sums.gather(-1, (count - 1).clamp_min(0)) / count  # none: a row of no numbers
    return (x - tau).relu()


def _steepness(alpha: Alpha) -> Alpha:
    # In place of 0, what is too small to be told from it: everything below is then its own limit.
    return (alpha - 1).clamp_min(1e-20) if isinstance(alpha, Tensor) else alpha - 1


def _power(x: Tensor, steepness: Alpha) -> tuple[Tensor, Tensor]:
    """`(1 + steepness x)^(1 / steepness)`, which is 0 where that is below 0, and its derivative."""
    change = (x * steepness).clamp_(min=-1)
    # base 2, because MKL's exponential takes ten times as long where the result is 0
    weights = (change.log1p() / (steepness * math.log(2))).exp2_()
    return weights, weights / change.add_(1).clamp_(min=torch.finfo(x.dtype).tiny)
