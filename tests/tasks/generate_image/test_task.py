"""Images from noise keep to what every task keeps to; what cannot be made is refused."""

import re
from typing import ClassVar

import numpy as np
import pytest

from heedful.errors import ConfigError, DataError
from heedful.tasks.generate_image.task import Config, GenerateImage
from heedful.testing.tasks import TaskContract
from heedful.training.start import train

pytest.importorskip("sklearn", reason="the extra images is not installed")
TASK = "task=generate-image"
REFUSED = {
    "x": 'class must be one of "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", got "x"',
    "3:x": "seed must be a whole number below 2^63, got 'x'",
    "model.reduction=3": "got model.width = 16, model.reduction = 3",
    "model={width=5, reduction=5}": "model.width must be even and a multiple of model.reduction",
    "train.precision=bf16": 'train.precision must be "fp32" where two networks learn, got "bf16"',
}


class TestGenerateImage(TaskContract):
    task = GenerateImage
    inputs = ("3:7", " 0")
    learns = (
        "train.steps=100",
        "train.evaluate_every=0.5",
        "train.ema_decay=0.9",
        "train.learning_rate=2e-3",
    )
    tables: ClassVar = {
        "data": {"dev": 12, "test": 10},
        "model": {"width": 4, "latent": 5, "reduction": 2},
        "train": {"steps": 6, "batch_size": 16, "classifier_steps": 60, "flip": True},
    }

    def expected(self, answers, examples):
        made = np.array([answer.scores.features for answer in answers])
        real = np.array([answer.original.features for answer in answers])
        spreads = [np.cov(each.T, bias=True) for each in (made, real)]
        roots = np.sqrt(np.linalg.eigvals(spreads[0] @ spreads[1]).real.clip(0))
        apart = ((made.mean(0) - real.mean(0)) ** 2).sum()
        right = [a.scores.predicted == e.label for a, e in zip(answers, examples, strict=True)]
        near = [(answer.scores.nearest, answer.original.nearest) for answer in answers]
        return {
            "frechet": apart + np.trace(sum(spreads)) - 2 * roots.sum(),
            "class_accuracy": 100 * np.mean(right),
            "novelty": np.divide(*np.sum(near, axis=0)),
        }

    @pytest.mark.parametrize("given", REFUSED)
    def test_what_cannot_be_made_is_refused(self, run, given):
        ask = run.task.parse if "=" not in given else lambda text: train({}, overrides=[TASK, text])
        with pytest.raises((ConfigError, DataError), match=re.escape(REFUSED[given])):
            ask(given)


def test_a_class_of_the_test_folder_alone_is_refused_before_anything_is_learned(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
    random = np.random.default_rng(0)
    for split, label in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "cow")):
        (tmp_path / split / label).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            image.fromarray(pixels).save(tmp_path / split / label / f"{number}.png")
    folders = {split: str(tmp_path / split) for split in ("train", "test")}
    config = Config.model_validate(
        {"data": {"name": "folder", **folders, "dev_examples": 2, "size": 8}}
    )
    message = "the test split must have labels of the training split, got 'cow'"
    with pytest.raises(DataError, match=message):
        GenerateImage.read(config)
