"""What images are worth: a classifier tells their class; the nearest training image is found."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from heedful.errors import DataError
from heedful.models.image_classifier import ImageClassifier

Images = Float[Tensor, "batch channels height width"]

SIDE = 8  # pixels a side of the thumbnails that are compared
BATCH = 64  # images a step
RATE = 3e-3  # learning rate of the classifier, down to 0 linearly
CHUNK = 250  # images compared with all training images at once


class Evaluation(NamedTuple):
    """What is said of images.

    Args:
        features: What the classifier's last layer looks at, scaled so that features of training
            images have a variance of 1 on average.
        predicted: The class that each image is taken for.
        nearest: Root of the mean squared difference to the nearest training image, in shares of
            the range of a pixel; both are first made as small as a thumbnail.
    """

    features: Float[Tensor, "batch features"]
    predicted: Int[Tensor, " batch"]
    nearest: Float[Tensor, " batch"]


class ImageEvaluator(nn.Module):
    """A classifier trained on the training images, and thumbnails of those.

    Args:
        classes: Number of classes.
        size: Pixels of either side of the images.
        channels: Of the images.
        images: Number of training images.

    Source:
        Heusel et al. 2017, arXiv:1706.08500, section 1 (features of a classifier as what images
        are compared by). Theirs knows photographs; this one is trained on the images at hand, so
        distances of two data sets cannot be compared.
    """

    def __init__(self, *, classes: int, size: int, channels: int, images: int) -> None:
        super().__init__()
        self.size, self.channels, self.side = size, channels, min(size, SIDE)
        self.classifier = ImageClassifier(classes=classes, channels=channels)
        cells = torch.zeros(images, channels * self.side**2, dtype=torch.uint8)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("thumbnails", cells)
        self.scale: Tensor
        self.thumbnails: Tensor

    @staticmethod
    def fit(
        images: Images, labels: Int[Tensor, " batch"], *, classes: int, seed: int, steps: int = 800
    ) -> "ImageEvaluator":
        """Train the classifier, and keep thumbnails.

        Args:
            images: Of the training split, with values from -1 to 1.
            labels: Their classes.
            classes: How many there are.
            seed: Of weights and batches.
            steps: Of the classifier's training.

        Raises:
            DataError: There are no images.
        """
        if not len(images):
            raise DataError("a evaluator must be given training images, got none")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            evaluator = ImageEvaluator(
                classes=classes,
                size=images.shape[2],
                channels=images.shape[1],
                images=len(images),
            )
            evaluator._train(images, labels, steps)
        evaluator.eval().requires_grad_(False)
        evaluator.thumbnails.copy_(evaluator._shrink(images))
        few = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))]
        variance = evaluator.classifier.features(few[:5_000]).var(0, correction=0).mean()
        evaluator.scale.copy_(variance.clamp(min=1e-12).rsqrt())
        return evaluator

    def _train(self, images: Tensor, labels: Tensor, steps: int) -> None:
        optimizer = torch.optim.Adam(self.classifier.parameters(), RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
            rows = torch.randint(len(images), (BATCH,))
            optimizer.zero_grad()
            cross_entropy(self.classifier(images[rows]), labels[rows]).backward()
            optimizer.step()

    def forward(self, images: Images) -> Evaluation:
        """Judge images, with values from -1 to 1."""
        raw = self.classifier.features(images)
        return Evaluation(
            features=raw * self.scale,
            predicted=self.classifier.classify(raw).argmax(1),
            nearest=self._nearest(images),
        )

    def _nearest(self, images: Images) -> Tensor:
        cells = self.thumbnails.float()
        squares, found = cells.square().sum(1), list[Tensor]()
        for part in self._shrink(images).float().split(CHUNK):
            # whole numbers below 2^24: exact, so an image that was learned by heart is at 0
            found.append(
                (part.square().sum(1, keepdim=True) - 2 * part @ cells.mT + squares).amin(1)
            )
        return torch.cat(found).clamp(min=0).sqrt() / (255 * cells.shape[1] ** 0.5)

    def _shrink(self, images: Images) -> Tensor:
        small = adaptive_avg_pool2d(images, self.side)
        return ((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).flatten(1)
