"""The loss of a mask against its formula, pixel by pixel."""

import math

import pytest
import torch

from heedful.metrics.rows import UNKNOWN
from heedful.tasks.segment.losses import mask_loss


def slow(logits, labels, dice):
    """The loss of one image, `(classes, height, width)`."""
    shares = logits.softmax(0)
    places = [(i, j) for i, j in torch.cartesian_prod(*map(torch.arange, labels.shape)).tolist()]
    places = [place for place in places if labels[place] != UNKNOWN]
    loss = sum(-math.log(shares[labels[place]][place]) for place in places) / max(len(places), 1)
    parts = []
    for label in range(1, len(logits)):
        both = sum(shares[label][place].item() for place in places if labels[place] == label)
        sizes = sum(shares[label][p].item() + (labels[p] == label).item() for p in places)
        parts.append(1 - (2 * both + 1) / (sizes + 1))
    return loss + dice * sum(parts) / len(parts)


@pytest.mark.parametrize("dice", [0.0, 0.7])
@pytest.mark.parametrize("classes", [2, 4])
def test_each_image_has_the_loss_of_the_formula(classes, dice):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, classes, 4, 5, generator=generator)
    labels = torch.randint(classes, (3, 4, 5), generator=generator)
    labels[0, :2], labels[1] = UNKNOWN, UNKNOWN
    found = mask_loss(logits, labels, dice=dice)
    want = [slow(*pair, dice) for pair in zip(logits, labels, strict=True)]
    torch.testing.assert_close(found, torch.tensor(want))


def test_the_right_mask_costs_nothing_and_a_miss_costs_more():
    labels = torch.tensor([[[0, 1], [1, 0]]])
    right = torch.nn.functional.one_hot(labels, 2).movedim(3, 1) * 40.0
    assert mask_loss(right, labels, dice=1.0).item() == pytest.approx(0, abs=1e-6)
    assert mask_loss(right.flip(1), labels, dice=1.0).item() > 40
