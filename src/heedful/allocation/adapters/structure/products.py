"""Attention that is written out: which products make its scores and its answers, as they run."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS = ("matmul", "__matmul__", "bmm", "baddbmm")
BATCH = 2  # of the calls that are heard


class Asked(NamedTuple):
    """One time that attention was computed.

    Args:
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        scores: What the softmax was given, `(batch, heads, queries, keys)`; `None` where fused.
        scale: Factor of the products in the scores.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scores: Tensor | None
    scale: float


class Products(TorchFunctionMode):
    """Notes the product before a softmax and the one behind it, and answers in their place.

    Args:
        answer: Is told of each time, and returns what the heads shall have mixed,
            `(batch, queries, heads, value_dim)`.
        random: Makes numbers of a shape that stand for weights.
    """

    def __init__(
        self, answer: Callable[[Asked], Tensor], random: Callable[[tuple[int, ...]], Tensor]
    ) -> None:
        super().__init__()
        self.answer, self.random = answer, random
        self.last: tuple[Tensor, Tensor, Tensor] | None = None
        self.factor = 1.0  # within the product
        self.scored: Asked | None = None
        self.weights: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and args[0].ndim == 4:
            query, key, value = args[:3]
            scale = kwargs.get("scale") or query.shape[-1] ** -0.5
            return self.answer(Asked(query, key, value, None, scale)).transpose(1, 2)
        if name == "softmax":
            weights = self._weights(args[0])
            return func(*args, **kwargs) if weights is None else weights
        if name in PRODUCTS and not kwargs.get("out"):
            return self._product(name, func, args, kwargs)
        return func(*args, **kwargs)

    def _product(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        given = (kwargs.get("batch1"), kwargs.get("batch2")) if name == "baddbmm" else args[:2]
        one, other = args[1:3] if given[0] is None else given
        weights, scored = self.weights, self.scored
        if weights is not None and scored is not None and one.numel() == weights.numel():
            if _slope(one, weights) is not None:
                return self._mixed(scored, one, other)
        result = func(*args, **kwargs)
        if one.ndim == other.ndim == result.ndim and result.ndim in (3, 4):
            self.last, self.factor = (one, other, result), float(kwargs.get("alpha", 1))
        return result

    def _weights(self, scores: Tensor) -> Tensor | None:
        """What stands for weights, if these scores are the last product, whatever was added."""
        if self.last is None or self.last[2].numel() != scores.numel():
            return None
        one, other, product = self.last
        gradient = _slope(scores.flatten()[0], product)
        if gradient is None or not gradient.any():
            return None
        scale = self.factor * float(gradient.sum())
        self.scored = Asked(_four(one), _four(other).mT, _four(other), _four(scores), scale)
        self.weights, self.last = self.random(tuple(scores.shape)), None
        return self.weights

    def _mixed(self, scored: Asked, weights: Tensor, value: Tensor) -> Tensor:
        self.weights = self.scored = None
        mixed = self.answer(scored._replace(value=_four(value))).transpose(1, 2)
        return mixed if weights.ndim == 4 else mixed.flatten(0, 1)


def _four(x: Tensor) -> Tensor:
    """With an axis of heads, where they stand in one axis with the batch."""
    return x if x.ndim == 4 else x.unflatten(0, (BATCH, -1))


def _slope(of: Tensor, on: Tensor) -> Tensor | None:
    """The gradient of a sum; `None` where it does not depend on that."""
    if not of.requires_grad or not on.requires_grad:
        return None
    found = torch.autograd.grad(of.sum(), on, retain_graph=True, allow_unused=True)
    return cast(tuple[Tensor | None], found)[0]
