"""Segmentation: a label for every pixel of an image, by a U-Net with attention gates."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from heedful.data.batches import size_batches
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.data.segments import Frame, SegmentReference, load_segments
from heedful.errors import ConfigError, DataError, RunError
from heedful.files import read_json, write_json
from heedful.metrics.rows import row_loss
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.segment.config import Config, problem
from heedful.tasks.segment.masks import (
    SegmentedImage,
    SegmentImages,
    classes_of,
    frame_of,
    masks_of,
    read_references,
    read_splits,
    segment_metrics,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

ANSWERED = 32  # images at a time


class Segment(Task[SegmentReference, SegmentedImage]):
    """A label for every pixel of an image.

    Args:
        config: Of the training.
        frame: What images are made into.
    """

    config_class = Config
    example_class = SegmentReference
    takes = ("image",)
    metrics = (*segment_metrics(), row_loss())
    files = ("task/frame.json",)
    monitor = "iou"
    unit = "images"

    def __init__(self, config: Config, frame: Frame) -> None:
        super().__init__(config)
        self.frame, self.classes = frame, classes_of(config.data)

    @classmethod
    def read(cls, config: Config) -> Splits[SegmentReference]:
        """Refer to all images; what is held out depends on their pixels and the seed."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[SegmentReference]:
        """Read an NPZ file or a folder as those of the training; after built-in data an NPZ."""
        return read_references(config.data, str(path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[SegmentReference]) -> Self:
        """Learn how large images are; every label must be there to be learned."""
        task = cls(config, frame_of(config.data))
        _check_halvings(config.model.halvings, task.frame)
        masks = load_segments(examples, frame=task.frame, classes=task.classes).masks
        for label in range(task.classes):
            if not (masks == label).any():
                raise DataError(
                    f"a mask of the training split must hold each label from 0 to "
                    f"{task.classes - 1}, got none with {label}"
                )
        return task

    def save(self, folder: Path) -> None:
        """Write how large images are."""
        write_json(folder / self.files[0], asdict(self.frame))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read how large images are."""
        return cls(config, _frame(folder / cls.files[0]))

    def encode(
        self, examples: Sequence[SegmentReference], *, training: bool = False
    ) -> SegmentImages:
        """Read images and masks."""
        found = load_segments(examples, frame=self.frame, classes=self.classes)
        return SegmentImages(found, augment=training and self.config.train.augment)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.unet import UNet

        return UNet(
            channels=self.frame.channels, classes=self.classes, **self.config.model.model_dump()
        )

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return cross-entropy and Dice's loss summed over images, and how many those are."""
        from heedful.tasks.segment.losses import mask_loss

        images, labels = batch
        return mask_loss(model(images), labels, dice=self.config.train.dice).sum(), len(labels)

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the loss an image, and the metrics."""
        total, device, found = 0.0, device_of(model), list[SegmentedImage]()
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            batch = dev.batch(rows, device)
            total += self.loss(model, batch)[0].item()
            found += masks_of(model(batch[0]), dev, rows)
        of_masks = [metric for metric in self.metrics if metric.reads == "answers"]
        scores = {each.name: each.score(each.statistics(found, found)) for each in of_masks}
        return {"dev_loss": total / len(dev)} | scores

    def answer(self, model: "nn.Module", data: Any) -> list[SegmentedImage]:
        """Label every pixel of every image."""
        import torch

        found: list[SegmentedImage] = []
        with torch.inference_mode():
            for start in range(0, len(data), ANSWERED):
                rows = range(start, min(start + ANSWERED, len(data)))
                images, _ = data.batch(rows, device_of(model))
                found += masks_of(model(images), data, rows)
        return found

    def parse(self, text: str) -> SegmentReference:
        """Take the path of a PNG or JPEG file."""
        return SegmentReference(str(Path(text.strip()).absolute()))

    def identity(self, example: SegmentReference) -> Hashable:
        """Return the pixels of an image, wherever it is."""
        return example.hash

    def right_answers(self, example: SegmentReference) -> frozenset[Hashable]:
        """Return the mask, wherever it is."""
        return frozenset([example.mask_hash] if example.mask_hash else [])

    def to_json(self, example: SegmentReference, answer: SegmentedImage) -> dict[str, Any]:
        """Return the shares of labels, boxes around their parts, and runs of their pixels."""
        return {"image": example.file} | answer.plain()

    def blank(self, text: str) -> dict[str, Any]:
        """Return no labels."""
        return {"image": text, "height": None, "width": None, "labels": {}}

    def question(self, model: Any, example: SegmentReference, answer: SegmentedImage) -> "Question":
        """Ask which cells speak for each label."""
        from heedful.tasks.segment.question import why_labelled

        return why_labelled(self, model, example, answer)

    def picture(
        self, model: Any, example: SegmentReference, answer: SegmentedImage
    ) -> ImageAttention | None:
        """Return the image with its parts outlined, and what attention gates let through."""
        from heedful.tasks.segment.picture import gate_picture

        return gate_picture(model, self.encode([example]), answer, title=str(answer))

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the logits of every pixel."""
        import torch

        images, labels = batch
        logits = model(images).permute(0, 2, 3, 1)
        example = torch.arange(len(labels), device=labels.device)
        return Rows(
            outputs=logits.flatten(0, 2),
            truth=labels.flatten(),
            example=example.repeat_interleave(labels[0].numel()),
        )

    def truth(self, batch: Any) -> "Tensor":
        """Return the labels of every pixel."""
        return batch[1].flatten()


def _frame(path: Path) -> Frame:
    """How large images are, of a file that somebody else may have written."""
    about: Any = read_json(path)
    known: dict[str, Any] = about if isinstance(about, dict) else {}
    sizes: list[Any] = [known.get(name) for name in ("height", "width", "channels")]
    if not all(type(size) is int and 0 < size <= 100_000 for size in sizes):
        raise RunError(f"{path} must hold height, width and channels, got {about!r:.80}")
    height, width, channels = sizes
    return Frame(height=height, width=width, channels=channels)


def _check_halvings(halvings: int, frame: Frame) -> None:
    if min(frame.height, frame.width) < 2**halvings:
        raise ConfigError(
            f"model.halvings must leave a pixel of images of {frame.height} x {frame.width}, "
            f"got {halvings}"
        )
