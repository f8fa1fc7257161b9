"""Why pixels have their labels: cells of the image, and the image without some of them."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.segments import SegmentReference
from heedful.explaining.images import REMOVAL, coarse
from heedful.explaining.question import Question
from heedful.explaining.scores import log_odds
from heedful.tasks.segment.masks import SegmentedImage
from heedful.tasks.standardised import standardised

if TYPE_CHECKING:
    from heedful.models.unet import UNet
    from heedful.tasks.segment.task import Segment


def why_labelled(
    task: "Segment", model: "UNet", example: SegmentReference, answer: SegmentedImage
) -> Question:
    """Ask why each label was given where it was: the mean log-odds over its pixels.

    Gates weigh places of one size by those of another, and what passes by them is most of what is
    said: attention leads to no piece of the input. Nor is there an embedding: normalised groups of
    channels say the same of a faint image and of a strong one, so all slopes lie next to nothing.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The image.
        answer: The mask. Where it holds no label but 0, it is asked why there is nothing.
    """
    cells = coarse(task.encode([example]).segments.pixels[0])
    labels = np.unique(answer.mask[answer.mask > 0]).tolist() or [0]
    there = torch.from_numpy(np.stack([answer.mask == label for label in labels]))

    def inputs(kept: Tensor) -> Tensor:
        return standardised(cells.kept(kept))

    def scores(model: nn.Module, images: Tensor) -> Tensor:
        logits = model(images).permute(0, 2, 3, 1)
        found = zip(labels, there.to(logits.device), strict=True)
        return torch.stack([_odds(logits[:, pixels], label) for label, pixels in found], 1)

    return Question(
        pieces=cells.names,
        targets=tuple(f"label {label}" for label in labels),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        shape=cells.shape,
        canvas=cells.pixels,
        title=str(answer),
    )


def _odds(logits: Tensor, label: int) -> Tensor:
    """The mean log-odds of a label over pixels, `(copies,)`."""
    truth = torch.full(logits.shape[:2], label, device=logits.device)
    return log_odds(logits, truth).mean(1)
