"""The classifier of images: shapes, and that it can learn."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from heedful.errors import ConfigError
from heedful.models.image_classifier import ImageClassifier


def test_describes_and_classifies_images_of_any_size():
    model = ImageClassifier(classes=5, channels=3, width=4, features=6)
    for size in (1, 8, 28):
        images = torch.randn(2, 3, size, size)
        features = model.features(images)
        assert features.shape == (2, 6)
        assert features.min() >= 0
        torch.testing.assert_close(model(images), model.classify(features))


def test_tells_where_a_square_is():
    torch.manual_seed(0)
    images, labels = torch.zeros(4, 1, 8, 8), torch.arange(4)
    for label in range(4):
        row, column = 4 * (label // 2), 4 * (label % 2)
        images[label, 0, row : row + 4, column : column + 4] = 1
    model = ImageClassifier(classes=4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert torch.equal(model(images).argmax(1), labels)


@pytest.mark.parametrize("name", ["classes", "channels", "width", "features"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        ImageClassifier(**{"classes": 2} | {name: 0})
