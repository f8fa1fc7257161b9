"""Losses of a translation: sums over target tokens, padding left out."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Loss = Callable[..., Tensor]


def cross_entropy(
    logits: Float[Tensor, "batch queries target_size"],
    target: Int[Tensor, "batch queries"],
    *,
    pad: int,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the sum over tokens of `-log p(target)`, with `smoothing` spread over all tokens.

    Args:
        logits: Scores before the softmax.
        target: The true tokens.
        pad: Token that does not count.
        smoothing: Probability taken from the true token.

    Source:
        Szegedy et al. 2015, arXiv:1512.00567, section 7 (label smoothing).
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(),
        target.flatten(),
        ignore_index=pad,
        label_smoothing=smoothing,
        reduction="sum",
    )


def mean_squared_error(
    logits: Float[Tensor, "batch queries target_size"],
    target: Int[Tensor, "batch queries"],
    *,
    pad: int,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the sum over tokens of the squared distance of the probabilities to the truth.

    Also called the Brier score, 0 to 2. The truth is one on the true token, less `smoothing`.

    Args:
        logits: Scores before the softmax.
        target: The true tokens.
        pad: Token that does not count.
        smoothing: Probability taken from the true token and spread over all.

    Source:
        Brier 1950, Monthly Weather Review 78(1), equation 2.
    """
    probability = logits.float().softmax(-1)
    truth = F.one_hot(target, logits.shape[-1]) * (1 - smoothing) + smoothing / logits.shape[-1]
    distance = (probability - truth).square().sum(-1)
    return torch.where(target == pad, 0.0, distance).sum()


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mean_squared_error}
