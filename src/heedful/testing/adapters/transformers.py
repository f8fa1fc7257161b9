"""The interface functions of Hugging Face transformers, as its models call them."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.testing import oracle
from heedful.testing.adapters._import import needs
from heedful.testing.adapters._lower import lower
from heedful.testing.claim import Claim


def claim_sdpa() -> Claim:
    """`sdpa_attention_forward` with a boolean mask, True = attend."""
    with needs("transformers"):
        from transformers.integrations import sdpa_attention

    def attention(
        query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None, dropout: float = 0.0
    ) -> Tensor:
        visible = lower(mask, query, key, "attend")
        # without a mask a model that is not causal says so
        output, _ = sdpa_attention.sdpa_attention_forward(
            _caller(query, key),
            query,
            key,
            value,
            visible,
            scaling=1 / math.sqrt(query.shape[3]),
            dropout=dropout,
            is_causal=False,
        )
        return output.transpose(1, 2)

    return Claim(attention=attention, oracle=oracle.scaled_dot, inferred=True)


def claim_eager() -> Claim:
    """`eager_attention_forward` with the mask of `eager_mask`: the dtype's lowest number, added."""
    with needs("transformers"):
        from transformers.models.llama import modeling_llama
    return Claim(
        attention=_eager(modeling_llama, lambda output, weights: output.transpose(1, 2)),
        weights=_eager_weights(modeling_llama),
        oracle=oracle.scaled_dot,
        inferred=True,
    )


def _eager(module: ModuleType, choose: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def attention(
        query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None, dropout: float = 0.0
    ) -> Tensor:
        hidden = lower(mask, query, key, "hide")
        if hidden is not None:
            lowest = torch.finfo(query.dtype).min
            hidden = query.new_zeros(hidden.shape).masked_fill(hidden, lowest)
        scaling = 1 / math.sqrt(query.shape[3])
        return choose(
            *module.eager_attention_forward(
                _caller(query, key), query, key, value, hidden, scaling=scaling, dropout=dropout
            )
        )

    return attention


def _eager_weights(module: ModuleType) -> Callable[..., Tensor]:
    attention = _eager(module, lambda output, weights: weights)

    def weights(query: Tensor, key: Tensor, *, mask: Mask | None) -> Tensor:
        return attention(query, key, key, mask=mask)

    return weights


def _caller(query: Tensor, key: Tensor) -> Any:
    """The module that would call: the functions read a few of its attributes."""
    caller: Any = nn.Module()
    caller.num_key_value_groups = query.shape[1] // key.shape[1]
    caller.is_causal = False
    return caller.eval()
