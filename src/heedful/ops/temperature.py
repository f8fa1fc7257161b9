"""Adaptive temperature: weights that are spread out are sharpened."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops._dot import drop, hide, scaled_scores, visible_keys
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import aggregate, widen

# Highest power first.
COEFFICIENTS = (-0.037, 0.481, -2.3, 4.917, -1.791)


def temperature_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    coefficients: Sequence[float] = COEFFICIENTS,
    least_entropy: float = 0.5,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(beta * s_j)`, sharper the more softmax alone would spread.

    `s_j = scale * query_i . key_j`. From the entropy `H` of `softmax(s)` follows
    `beta = max(polynomial(H), 1)` where `H > least_entropy`, and 1 elsewhere: it never flattens.
    Meant for a trained model that meets longer texts than in training. The default coefficients
    were fitted to the authors' own model on one task, and fall below 1 again, so do nothing, beyond
    `H = 5.9`, which is uniform over some 380 keys: fit your own.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        coefficients: Of the polynomial, the highest power first. At least one.
        least_entropy: Up to this entropy, in nats, nothing changes.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: There are no coefficients, a tensor is not floating-point, or a length of the
            mask exceeds `keys`.

    Source:
        Veličković et al. 2024, arXiv:2410.01104.

    Cost:
        Stores `queries x keys` scores per head, and takes their softmax twice. Exact.
    """
    check_qkv(query, key)
    if not len(coefficients):
        raise ConfigError("coefficients must have at least one entry, got none")
    scores = scaled_scores(query, key, scale)
    visible = visible_keys(scores, mask)
    scores = hide(scores, visible)
    entropy = _entropy(scores, visible)
    fitted = torch.zeros_like(entropy)
    for coefficient in coefficients:
        fitted = fitted * entropy + coefficient
    beta = torch.where(entropy > least_entropy, fitted.clamp_min(1), 1.0)
    return drop(hide(scores * beta, visible).softmax(-1), visible).to(query.dtype)


@hidden_kept_out
def temperature_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    coefficients: Sequence[float] = COEFFICIENTS,
    least_entropy: float = 0.5,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `temperature_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        coefficients: Of the polynomial, the highest power first. At least one.
        least_entropy: Up to this entropy, in nats, nothing changes.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: There are no coefficients, a tensor is not floating-point, or a length of the
            mask exceeds `keys`.

    Source:
        Veličković et al. 2024, arXiv:2410.01104.

    Cost:
        Stores `queries x keys` scores per head, and takes their softmax twice. Exact.
    """
    check_qkv(query, key, value)
    weights = temperature_weights(
        widen(query),
        key,
        coefficients=coefficients,
        least_entropy=least_entropy,
        mask=mask,
        scale=scale,
    )
    return aggregate(weights, value, query.dtype)


def _entropy(scores: Tensor, visible: Tensor | None) -> Tensor:
    """The entropy of each row's softmax, in nats."""
    logs = scores.log_softmax(-1)
    return -(logs.exp() * drop(logs, visible)).sum(-1, keepdim=True)
