"""Attention and its gradients in float64, each number with how far float32 sums may be from it.

Nothing here is tuned: a bound counts what is rounded on the way, times the sizes of what is summed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SINGLE = torch.finfo(torch.float32).eps
FLUSHED = 2**15  # terms of a sum, at most


class Bounded(NamedTuple):
    """What a tensor should be, and how far every number of it may be away."""

    exact: Tensor
    bound: Tensor


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One call, its mask as truth values `(batch, heads, queries, keys)`."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    visible: Tensor
    scale: float

    @property
    def dtype(self) -> torch.dtype:
        return self.query.dtype

    @property
    def stored(self) -> float:
        """What is lost where a weight, or the gradient of a score, is kept for a product."""
        return torch.finfo(torch.bfloat16).eps if self.dtype == torch.bfloat16 else SINGLE

    def rounded(self, exact: Tensor) -> Tensor:
        """What is lost where a result is written, and where its terms are so small that they are
        flushed to 0."""
        about = torch.finfo(self.dtype)
        floor = about.smallest_normal * (FLUSHED if self.dtype != torch.float16 else about.eps)
        return about.eps * exact.abs() + floor


def _repeated(tensor: Tensor, heads: int) -> Tensor:
    return tensor.double().repeat_interleave(heads // tensor.shape[1], 1)


def _shared(tensor: Tensor, kv_heads: int) -> Tensor:
    """The sum over the query heads that share a key head."""
    return tensor.unflatten(1, (kv_heads, -1)).sum(2)


class Exact:
    """The call in float64; what is needed for bounds is kept."""

    def __init__(self, problem: Problem) -> None:
        self.of = problem
        heads, dim = problem.query.shape[1], problem.query.shape[3]
        keys = problem.key.shape[2]
        self.query = problem.query.double()
        self.key, self.value = (_repeated(x, heads) for x in (problem.key, problem.value))
        scores = (self.query @ self.key.mT) * problem.scale
        sizes = (self.query.abs() @ self.key.abs().mT) * abs(problem.scale) * (dim + 8)
        if problem.bias is not None:
            scores = scores + problem.bias.double()
            sizes = sizes + 8 * problem.bias.double().abs()
        empty = ~problem.visible.any(-1, keepdim=True)
        scores = scores.masked_fill(~problem.visible, -torch.inf)
        most = scores.amax(-1, keepdim=True).masked_fill(empty, 0.0)
        powers = (scores - most).exp()
        total = powers.sum(-1, keepdim=True)
        self.weights = powers / total.masked_fill(empty, 1.0)
        self.log_sum = (most + total.log()).squeeze(-1)
        # how far the exponent of a weight may be off, at most in its row; as a share of the weight
        off = sizes.masked_fill(~problem.visible, 0.0).amax(-1, keepdim=True)
        self.off = SINGLE * (off + 8 * most.abs() + 2 * keys + 16) + problem.stored
        self.share = torch.expm1(2 * self.off)
        self.values = self.weights @ self.value.abs()
        self.exact = self.weights @ self.value

    def output(self) -> Bounded:
        lost = (self.share + self.of.stored + SINGLE * self.of.key.shape[2]) * self.values
        return Bounded(self.exact, lost + self.of.rounded(self.exact))

    def sums(self) -> Bounded:
        bound = 2 * self.off.squeeze(-1) + SINGLE * self.log_sum.abs().nan_to_num(posinf=0.0)
        return Bounded(self.log_sum, bound)

    def gradients(self, by_output: Tensor, by_sums: Tensor | None) -> dict[str, Bounded]:
        """Of query, key, value and, where there is one, bias."""
        p, stored, scale = self.of, self.of.stored, abs(self.of.scale)
        by_output = by_output.double()
        kv_heads, value_dim = p.key.shape[1], self.value.shape[3]
        rows = p.query.shape[2] * (p.query.shape[1] // kv_heads)
        by_weights = by_output @ self.value.mT
        common = (self.weights * by_weights).sum(-1, keepdim=True)
        if by_sums is not None:
            common = common - by_sums.double()[..., None]
        by_scores = self.weights * (by_weights - common)
        lost_common = (by_output.abs() * self.output().bound).sum(-1, keepdim=True)
        lost_common += SINGLE * value_dim * (by_output.abs() * self.values).sum(-1, keepdim=True)
        lost_common += SINGLE * common.abs()
        lost = (self.share + stored) * (by_weights - common).abs() + lost_common
        lost += SINGLE * (value_dim + 4) * (by_output.abs() @ self.value.abs().mT)
        # a weight below the smallest normal number is 0, and so may be the gradient of its score
        weights = self.weights + 2 * torch.finfo(torch.float32).smallest_normal * p.visible
        lost = weights * lost + (weights - self.weights) * (1 + (by_weights - common).abs())
        spread = (self.share + stored + SINGLE * rows) * weights + (weights - self.weights)
        size = by_scores.abs()
        query, key = self.query.abs(), self.key.abs()
        keys = SINGLE * p.key.shape[2]
        found = {
            "query": ((by_scores @ self.key) * p.scale, ((lost + keys * size) @ key) * scale),
            "key": (
                _shared(by_scores.mT @ self.query, kv_heads) * p.scale,
                _shared((lost + SINGLE * rows * size).mT @ query, kv_heads) * scale,
            ),
            "value": (
                _shared(self.weights.mT @ by_output, kv_heads),
                _shared(spread.mT @ by_output.abs(), kv_heads),
            ),
        }
        if p.bias is not None:
            terms = by_scores.numel() // p.bias.numel() + 4
            off = (lost + SINGLE * terms * size).sum_to_size(p.bias.shape)
            exact = by_scores.sum_to_size(p.bias.shape)
            off = off + torch.finfo(p.bias.dtype).eps * exact.abs()
            found["bias"] = (exact, off)
        return {
            name: Bounded(exact, off + p.rounded(exact)) for name, (exact, off) in found.items()
        }


def excess(actual: Tensor, want: Bounded) -> float:
    """The largest error as a multiple of its bound; infinite where one is no number."""
    actual = actual.double()
    equal = actual == want.exact  # also where both are infinite
    error = (actual - want.exact).abs() / want.bound.clamp(min=1e-300)
    error = error.masked_fill(equal, 0.0)
    return float(error.nan_to_num(nan=torch.inf).max())
