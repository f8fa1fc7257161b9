"""What a segmentation learns from: the cross-entropy of pixels, and Dice's loss of whole images."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from heedful.metrics.rows import UNKNOWN


def mask_loss(
    logits: Float[Tensor, "batch classes height width"],
    labels: Int[Tensor, "batch height width"],
    *,
    dice: float,
) -> Float[Tensor, " batch"]:
    """Return a loss for each image: the mean cross-entropy of its pixels, and `dice` times Dice's.

    Dice's loss is `1 - (2 sum p t + 1) / (sum p + sum t + 1)`, a mean over the labels but 0, with
    shares `p` and truths `t`. Pixels whose label nobody knows do not count.

    Args:
        logits: Of the network.
        labels: From 0 on, or `UNKNOWN`.
        dice: The weight of Dice's loss.

    Source:
        Milletari et al. 2016, arXiv:1606.04797, section 3 (there with squares in the denominator).
    """
    logits = logits.float()
    known = labels != UNKNOWN
    entropy = cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
    loss = entropy.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
    if not dice:
        return loss
    shares = logits.softmax(1)[:, 1:] * known[:, None]
    there = torch.arange(1, logits.shape[1], device=labels.device)[None, :, None, None]
    truth = (labels[:, None] == there).to(shares.dtype)
    both, sizes = (shares * truth).sum((2, 3)), (shares + truth).sum((2, 3))
    return loss + dice * (1 - (2 * both + 1) / (sizes + 1)).mean(1)
