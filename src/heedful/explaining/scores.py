"""How much a model means what it says: log-odds, which have no ceiling as probabilities have."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def log_odds(
    logits: Float[Tensor, "*rows alternatives"], truth: Int[Tensor, "*rows"]
) -> Float[Tensor, "*rows"]:
    """Return the logarithm of how many times likelier one alternative is than all others together.

    Args:
        logits: Of two alternatives or more.
        truth: The number of one in each row.
    """
    logits = logits.float()
    chosen = logits.gather(-1, truth[..., None])[..., 0]
    others = logits.scatter(-1, truth[..., None], -torch.inf)
    return chosen - others.logsumexp(-1)
