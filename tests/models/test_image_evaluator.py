"""The evaluator of images: it learns classes, scales features, and finds known images."""

import numpy as np
import pytest
import torch

from heedful.errors import DataError
from heedful.models.image_evaluator import CHUNK, ImageEvaluator


def squares(count, *, size=10, channels=1, seed=0):
    """Bright squares in one of four corners, which is the class, and noise around them."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.rand(count, channels, size, size, generator=draw) - 1
    for image, label in zip(images, labels.tolist(), strict=True):
        half = size // 2
        image[:, half * (label // 2) :, half * (label % 2) :][:, :half, :half] += 1
    return images, labels


@pytest.fixture(scope="module")
def evaluator():
    return ImageEvaluator.fit(*squares(300), classes=4, seed=3, steps=100)


def test_knows_the_classes_of_new_images(evaluator):
    images, labels = squares(100, seed=1)
    assert torch.equal(evaluator(images).predicted, labels)


def test_features_have_a_variance_of_one_on_average(evaluator):
    features = evaluator(squares(300)[0]).features
    assert features.shape == (300, 32)
    assert features.var(0, correction=0).mean().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_training_image_is_found(channels):
    known, _ = squares(CHUNK + 10, size=8, channels=channels)
    evaluator = ImageEvaluator(classes=4, size=8, channels=channels, images=len(known))
    evaluator.thumbnails.copy_(evaluator._shrink(known))
    new, _ = squares(CHUNK + 5, size=8, channels=channels, seed=1)
    steps = [np.rint((x.numpy() + 1) * 127.5) for x in (known, new)]
    want = [
        np.sqrt(((image - steps[0]) ** 2).reshape(len(known), -1).mean(1).min()) / 255
        for image in steps[1]
    ]
    torch.testing.assert_close(evaluator(new).nearest, torch.tensor(want).float())
    assert evaluator(known).nearest.max() == 0


def test_the_same_seed_gives_the_same_evaluator_and_draws_nothing_else():
    state = torch.get_rng_state()
    evaluators = [
        ImageEvaluator.fit(*squares(20), classes=4, seed=seed, steps=2) for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = (evaluator.classifier.first.weight for evaluator in evaluators)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_training_images_are_refused():
    with pytest.raises(DataError, match="a evaluator must be given training images, got none"):
        ImageEvaluator.fit(torch.zeros(0, 1, 8, 8), torch.zeros(0).long(), classes=4, seed=0)
