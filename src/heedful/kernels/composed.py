"""Attention in torch's plain operations: for whoever must see, transform or differentiate each."""

import torch
from torch import Tensor

from heedful.kernels.call import Call, bias_as, share_heads
from heedful.listeners import may_look

LOST = -(2.0**15)  # a bias below which float32 cannot tell weights from each other's sum


def run(call: Call) -> Tensor:
    """The answer to any call, with stored scores."""
    query, key, value, _, bias, scale, dropout = call
    return attend(query, key, value, bias, call.visible(), scale, dropout=dropout)[0]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
    *,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The output, and the logarithm of the sum of every row's exponentials: -inf for none.

    Args:
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        value: `(batch, kv_heads, keys, value_dim)`.
        bias: Broadcasts to the scores; where it is -inf nothing is visible.
        visible: Broadcasts to the scores. `None` means: all.
        scale: Factor of the dot product.
        dropout: Share of the weights that is set to 0 at random.
    """
    heads, dtype = query.shape[1], wide(query.dtype)
    scores = (query.to(dtype) * scale) @ share_heads(key.to(dtype), heads).mT
    seen = sees(visible, bias)
    weights, log_sum = _weigh(scores, bias, seen)
    weights = torch.dropout(weights, dropout, train=dropout > 0)
    return (weights @ share_heads(value.to(dtype), heads)).to(query.dtype), log_sum


def exact(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
    *,
    dropout: float = 0.0,
) -> Tensor:
    """The same output where keys and values hold NaN or inf, each of which only those see that may.

    A product with 0 would carry them to every query; here what is no number is taken out before a
    product, and put back where it is visible. Args as for `attend`.
    """
    heads, out, dtype = query.shape[1], query.dtype, wide(query.dtype)
    query, key = query.to(dtype) * scale, share_heads(key.to(dtype), heads)
    value = share_heads(value.to(dtype), heads)
    as_they_are = query.detach() @ key.detach().mT
    scores = query @ _numbers(key).mT
    scores = torch.where(as_they_are.isfinite(), scores, as_they_are)
    seen = sees(visible, bias)
    weights, _ = _weigh(scores, bias, seen)
    kept = torch.dropout(weights, dropout, train=dropout > 0)
    found = torch.ones_like(scores) if seen is None else seen.expand(scores.shape).to(dtype)
    up, down, none = (
        found @ kind.to(dtype) > 0
        for kind in (value == float("inf"), value == float("-inf"), value.isnan())
    )
    put_back = torch.where(up, float("inf"), 0.0).masked_fill(down, float("-inf"))
    put_back = put_back.masked_fill(none | (up & down), float("nan"))
    # times the sum of the weights, which is 1, because a gradient must not be a number there either
    output = kept @ _numbers(value) + weights.sum(-1, keepdim=True) * put_back.to(dtype)
    return output.to(out)


def drowned(call: Call) -> bool:
    """Is a gradient wanted of a row whose scores are lost in a bias, as of the lowest number?

    Kernels compute weights again from the logarithm of their sum, which is lost there likewise.
    """
    bias = call.bias
    if bias is None or not call.needs_gradient() or not may_look(bias) or not bias.numel():
        return False
    most = bias.detach().amax(-1)
    return bool(((most < LOST) & (most > float("-inf"))).any())


def sees(visible: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """What is visible when -inf in a bias hides as well; a number, however low, hides nothing."""
    if bias is None:
        return visible
    there = bias != float("-inf")
    there = there[(None,) * (4 - there.ndim)]
    return there if visible is None else visible & there


def wide(dtype: torch.dtype) -> torch.dtype:
    """In which dtype sums are taken."""
    return dtype if dtype == torch.float64 else torch.float32


def _weigh(scores: Tensor, bias: Tensor | None, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Softmax over what is seen, 0 elsewhere; and its logarithms."""
    if bias is not None:
        scores = scores + bias_as(bias, scores.dtype)
    if seen is None:
        return scores.softmax(-1), scores.detach().logsumexp(-1)
    # the lowest number and not -inf, so that a row that sees nothing has no NaN in its gradient
    scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    blind = ~seen.any(-1)
    log_sum = scores.detach().logsumexp(-1).masked_fill(blind, float("-inf"))
    return scores.softmax(-1).masked_fill(~seen, 0.0), log_sum


def _numbers(tensor: Tensor) -> Tensor:
    """With 0 in place of what is no number."""
    return torch.where(tensor.isfinite(), tensor, 0.0)
