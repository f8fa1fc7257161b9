"""Attention block by block: the loops, and a gradient that computes anew what is not kept."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from heedful.listeners import compiling, dual, transformed
from heedful.mask import Mask
from heedful.ops._softmax import share_heads, widen

NEVER = float("-inf")


class Plan(NamedTuple):
    """What every block must know of the whole.

    Args:
        mask: Which query may see which key; fits the sizes.
        scale: Factor of the dot product.
        block: Queries, and keys, per block.
        sizes: `(batch, heads, queries, keys)`.
    """

    mask: Mask | None
    scale: float
    block: int
    sizes: tuple[int, int, int, int]

    def cuts(self, axis: int) -> list[slice]:
        """The blocks of queries (2) or of keys (3)."""
        size = self.sizes[axis]
        return [slice(i, min(i + self.block, size)) for i in range(0, size, self.block)]

    def visible(self, rows: slice, columns: slice, device: torch.device) -> Tensor | None:
        """What the mask says of a block; `None` where it hides nothing."""
        if self.mask is None:
            return None
        batch, heads, queries, keys = self.sizes
        ranges = (slice(0, batch), slice(0, heads), rows, columns)
        axes = [torch.arange(cut.start, cut.stop, device=device) for cut in ranges]
        spread = [x.view([-1 if i == axis else 1 for i in range(4)]) for axis, x in enumerate(axes)]
        return self.mask.at(*spread, queries=queries, keys=keys)


def hides_all(visible: Tensor | None) -> bool:
    """May a block be skipped? Only where looking costs nothing: not in a graph, not under a
    transform, not on a GPU."""
    if visible is None or compiling() or transformed() or visible.device.type != "cpu":
        return False
    return not bool(visible.any())


def attend(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    plan: Plan,
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
    """Output and log-sum-exp, in float32 at least; differentiable any number of times."""
    if compiling() or transformed() or dual():  # who differentiates the loops themselves
        return _forward(query, key, value, plan)
    return _Blockwise.apply(query, key, value, plan)  # pyright: ignore[reportReturnType]


class _Blockwise(Function):
    """Nothing of size `queries x keys` is kept: the backward pass computes the weights again."""

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        return _forward(query, key, value, plan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        query, key, value, ctx.plan = inputs
        ctx.save_for_backward(query, key, value, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, output, log_sum = ctx.saved_tensors
        by_output, by_log_sum = gradients
        turned = _backward(query, key, value, output, log_sum, by_output, by_log_sum, ctx.plan)
        return (*turned, None)


def _forward(query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    if not plan.sizes[2]:
        wide = widen(query)
        return wide.new_zeros(*query.shape[:3], value.shape[3]), wide.new_zeros(query.shape[:3])
    rows = [_row(query, key, value, cut, plan) for cut in plan.cuts(2)]
    return torch.cat([row[0] for row in rows], 2), torch.cat([row[1] for row in rows], 2)


def _row(
    query: Tensor, key: Tensor, value: Tensor, rows: slice, plan: Plan
) -> tuple[Tensor, Tensor]:
    """One block of queries against all blocks of keys, with running maximum and sum."""
    heads = plan.sizes[1]
    part = widen(query[:, :, rows]) * plan.scale
    largest = part.new_full((*part.shape[:3], 1), NEVER)
    total = torch.zeros_like(largest)
    summed = part.new_zeros(*part.shape[:3], value.shape[3])
    for columns in plan.cuts(3):
        visible = plan.visible(rows, columns, query.device)
        if hides_all(visible):
            continue
        scores = part @ share_heads(widen(key[:, :, columns]), heads).mT
        scores = scores if visible is None else scores.masked_fill(~visible, NEVER)
        # The maximum cancels, so it needs no gradient.
        new = torch.maximum(largest, scores.detach().amax(-1, keepdim=True))
        base = finite(new)
        terms, kept = (scores - base).exp(), (largest - base).exp()
        total = total * kept + terms.sum(-1, keepdim=True)
        summed = summed * kept + terms @ share_heads(value[:, :, columns].to(terms.dtype), heads)
        largest = new
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    log_sum = (total.log() + finite(largest)).masked_fill(empty, NEVER)
    return summed / total, log_sum[..., 0]


def _backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    log_sum: Tensor,
    by_output: Tensor,
    by_log_sum: Tensor,
    plan: Plan,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients, block by block; made of differentiable operations."""
    heads, kv_heads = plan.sizes[1], key.shape[1]
    cuts = plan.cuts(3)
    by_key: list[Tensor | float] = [0.0] * len(cuts)
    by_value: list[Tensor | float] = [0.0] * len(cuts)
    by_query: list[Tensor] = []
    for rows in plan.cuts(2):
        part = widen(query[:, :, rows]) * plan.scale
        gradient = by_output[:, :, rows]
        base = finite(log_sum[:, :, rows, None])
        share = (gradient * output[:, :, rows]).sum(-1, keepdim=True)
        share = share - by_log_sum[:, :, rows, None]
        turned = torch.zeros_like(part)
        for i, columns in enumerate(cuts):
            visible = plan.visible(rows, columns, query.device)
            if hides_all(visible):
                continue
            near_key = share_heads(widen(key[:, :, columns]), heads)
            near_value = share_heads(value[:, :, columns].to(part.dtype), heads)
            scores = part @ near_key.mT
            scores = scores if visible is None else scores.masked_fill(~visible, NEVER)
            weights = (scores - base).exp()
            by_scores = weights * (gradient @ near_value.mT - share)
            by_value[i] = by_value[i] + _shared(weights.mT @ gradient, kv_heads)
            by_key[i] = by_key[i] + _shared(by_scores.mT @ part, kv_heads)
            turned = turned + by_scores @ near_key
        by_query.append(turned * plan.scale)
    return (
        _joined(by_query, query),
        _joined(_filled(by_key, key, cuts), key),
        _joined(_filled(by_value, value, cuts), value),
    )


def _filled(parts: list[Tensor | float], like: Tensor, cuts: list[slice]) -> list[Tensor]:
    """Zeros where no query has looked."""
    return [
        part if isinstance(part, Tensor) else torch.zeros_like(widen(like[:, :, cut]))
        for part, cut in zip(parts, cuts, strict=True)
    ]


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts, 2).to(like.dtype) if parts else torch.zeros_like(like)


def _shared(gradient: Tensor, kv_heads: int) -> Tensor:
    """The sum over the query heads that share a key/value head."""
    return gradient.unflatten(1, (kv_heads, -1)).sum(2)


def finite(log: Tensor) -> Tensor:
    """0 for minus infinity, so that differences are no NaN."""
    return log.masked_fill(log == NEVER, 0.0)
