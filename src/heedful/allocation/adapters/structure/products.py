"""Attention that is written out: which products make its scores and its answers, as they run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from heedful.allocation.adapters.structure.factors import Factors, factors_of

BATCH = 2  # of the calls that are heard


class Asked(NamedTuple):
    """One time that attention was computed.

    Args:
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        scores: What the softmax was given, or what is added before it where that is fused,
            `(batch, heads, queries, keys)`; `None` where nobody knows.
        scale: Factor of the products in the scores.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scores: Tensor | None
    scale: float


@dataclass(frozen=True)
class Layout:
    """Where heads stand among the axes before positions and components.

    Args:
        batch: How large the batch is, where heads stand in one axis with it.
        axis: Of the heads, where there are three.
        turned: Do components stand before positions, since components look at each other?
    """

    batch: int = BATCH
    axis: int = 1
    turned: bool = False

    def four(self, x: Tensor) -> Tensor:
        """Return a tensor as `(batch, heads, positions, components)`."""
        x = x.mT if self.turned else x
        if x.ndim == 3:
            return x.unflatten(0, (self.batch, -1))
        if x.ndim == 5:
            return x.movedim(self.axis, 0).flatten(1, 2).movedim(0, 1)
        return x

    def back(self, x: Tensor, like: Tensor) -> Tensor:
        """Return such a tensor with the axes of another."""
        x = x.mT if self.turned else x
        if like.ndim == 3:
            return x.flatten(0, 1)
        if like.ndim == 5:
            others = [size for axis, size in enumerate(like.shape[:3]) if axis != self.axis]
            return x.movedim(1, 0).unflatten(1, others).movedim(0, self.axis)
        return x


class Products(TorchFunctionMode):
    """Notes the product before a softmax and the one behind it, and answers in their place.

    Args:
        answer: Is told of each time, and returns what the heads shall have mixed,
            `(batch, queries, heads, value_dim)`.
        random: Makes numbers of a shape that stand for weights.
        layout: Where heads stand.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Tensor],
        random: Callable[[tuple[int, ...]], Tensor],
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        self.answer, self.random, self.layout = answer, random, layout or Layout()
        self.axes = 0  # of the tensors that were multiplied
        self.last: tuple[Factors, Tensor] | None = None
        self.scored: Asked | None = None
        self.weights: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and args[0].ndim in (3, 4, 5):
            return self._fused(*args, **kwargs)
        if name == "softmax":
            weights = self._weights(args[0])
            return func(*args, **kwargs) if weights is None else weights
        factors = None if kwargs.get("out") else factors_of(name, args, kwargs)
        if factors is None:
            return func(*args, **kwargs)
        if (mixed := self._mixed(factors)) is not None:
            return mixed
        result = func(*args, **kwargs)
        self.last = (factors, result)
        return result

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Any = None,
        *_: Any,
        **named: Any,
    ) -> Tensor:
        four = self.layout.four
        self.axes = query.ndim
        scale = named.get("scale") or query.shape[-1] ** -0.5
        added = attn_mask if isinstance(attn_mask, Tensor) and attn_mask.ndim == 4 else None
        if isinstance(attn_mask, Tensor) and query.ndim == 4 and attn_mask.ndim == 3:
            added = attn_mask[None]  # one for all of the batch
        mixed = self.answer(Asked(four(query), four(key), four(value), added, scale))
        return self.layout.back(mixed.transpose(1, 2), query)

    def _weights(self, scores: Tensor) -> Tensor | None:
        """What stands for weights, if these scores are the last product, whatever was added."""
        if self.last is None or self.last[1].numel() != scores.numel():
            return None
        factors, product = self.last
        gradient = _slope(scores.flatten()[0], product)
        if gradient is None or not gradient.any():
            return None
        scale = factors.scale * float(gradient.sum())
        four, self.axes = self.layout.four, factors.left.ndim
        seen = four(factors.plain(scores)) if scores.shape == product.shape else None
        key = four(factors.right)
        self.scored = Asked(four(factors.left), key, key, seen, scale)
        self.weights, self.last = self.random(tuple(scores.shape)), None
        return self.weights

    def _mixed(self, factors: Factors) -> Tensor | None:
        """What stands for what the heads mixed, if this is a product with weights."""
        weights, scored = self.weights, self.scored
        if weights is None or scored is None:
            return None
        for these in (factors, factors.turned()):
            if these.left.numel() == weights.numel() and _slope(these.left, weights) is not None:
                self.weights = self.scored = None
                value = self.layout.four(these.right.mT)
                mixed = self.answer(scored._replace(value=value)).transpose(1, 2)
                return these.raw(self.layout.back(mixed, these.left))
        return None


def _slope(of: Tensor, on: Tensor) -> Tensor | None:
    """The gradient of a sum; `None` where it does not depend on that."""
    if not of.requires_grad or not on.requires_grad:
        return None
    found = torch.autograd.grad(of.sum(), on, retain_graph=True, allow_unused=True)
    return cast(tuple[Tensor | None], found)[0]
