"""Detection: boxes around things in images, as a set, by a Transformer."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from heedful.data.batches import size_batches
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.data.segments import Frame
from heedful.errors import DataError, RunError
from heedful.files import read_json, write_json
from heedful.metrics.rows import row_loss
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.detect.config import Config, problem, queries_of
from heedful.tasks.detect.examples import Boxed, frame_of, read_boxed, read_splits
from heedful.tasks.detect.images import (
    BoxedImages,
    Detection,
    detection_metrics,
    found_in,
    load_boxed,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

ANSWERED = 32  # images at a time


class Detect(Task[Boxed, Detection]):
    """Boxes around things in an image.

    Args:
        config: Of the training.
        labels: Of things, in the order of the logits.
        frame: What images are made into.
    """

    config_class = Config
    example_class = Boxed
    takes = ("image",)
    metrics = (*detection_metrics(), row_loss())
    files = ("task/things.json",)
    monitor = "ap50"
    unit = "images"
    inference = ("answer",)

    def __init__(self, config: Config, labels: Sequence[str], frame: Frame) -> None:
        super().__init__(config)
        self.labels, self.frame = list(labels), frame

    @classmethod
    def read(cls, config: Config) -> Splits[Boxed]:
        """Refer to all images; what is held out depends on their pixels and the seed."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Boxed]:
        """Read a file as that of the training; after built-in data an NPZ file."""
        return read_boxed(config.data, str(path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Boxed]) -> Self:
        """Learn which labels there are, and how large images are."""
        labels = sorted({box.label for each in examples for box in each.boxes})
        if not labels:
            raise DataError("an image of the training split must have a box in it, got none")
        frame = frame_of(config.data)
        _check_crowds(examples, queries_of(config.model, frame.height, frame.width))
        return cls(config, labels, frame)

    def save(self, folder: Path) -> None:
        """Write labels, and how large images are."""
        about = {"labels": self.labels, "frame": asdict(self.frame)}
        write_json(folder / self.files[0], about)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read labels, and how large images are."""
        labels, frame = _things(folder / cls.files[0])
        return cls(config, labels, frame)

    def encode(self, examples: Sequence[Boxed], *, training: bool = False) -> BoxedImages:
        """Read images, and make boxes ready."""
        augment = training and self.config.train.augment
        return load_boxed(examples, self.labels, frame=self.frame, augment=augment)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.detector import Detector

        sizes = {"labels": len(self.labels), "channels": self.frame.channels}
        return Detector(**sizes, **self.config.model.model_dump())

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return the loss of matched queries summed over images, and how many those are."""
        from heedful.tasks.detect.matching import detection_loss

        images, labels, boxes = batch
        nothing = self.config.train.nothing
        return detection_loss(model(images), labels, boxes, nothing=nothing).sum(), len(labels)

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the loss an image, and the metrics."""
        from heedful.tasks.detect.matching import detection_loss

        total, found, nothing = 0.0, dict[int, Detection](), self.config.train.nothing
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            images, labels, boxes = dev.batch(rows, device_of(model))
            said = model(images)
            total += detection_loss(said, labels, boxes, nothing=nothing).sum().item()
            found |= zip(rows, found_in(said, dev, rows, self.labels, least=0.0), strict=True)
        answers = [found[row] for row in range(len(dev))]
        truth = dev.things(self.labels)
        scores = {
            each.name: each.score(each.statistics(answers, truth))
            for each in self.metrics
            if each.reads == "answers"
        }
        return {"dev_loss": total / len(dev)} | scores

    def answer(self, model: "nn.Module", data: Any) -> list[Detection]:
        """Find things in every image."""
        import torch

        found: list[Detection] = []
        least = self.config.answer.least
        with torch.inference_mode():
            for start in range(0, len(data), ANSWERED):
                rows = range(start, min(start + ANSWERED, len(data)))
                said = model(data.batch(rows, device_of(model))[0])
                found += found_in(said, data, rows, self.labels, least=least)
        return found

    def parse(self, text: str) -> Boxed:
        """Take the path of a PNG or JPEG file."""
        return Boxed(str(Path(text.strip()).absolute()), known=False)

    def identity(self, example: Boxed) -> Hashable:
        """Return the pixels of an image, wherever it is."""
        return example.hash

    def right_answers(self, example: Boxed) -> frozenset[Hashable]:
        """Return the boxes, in whatever order they are written."""
        return frozenset([frozenset(Counter(example.boxes).items())] if example.known else [])

    def to_json(self, example: Boxed, answer: Detection) -> dict[str, Any]:
        """Return the boxes that are sure enough, in pixels of the file."""
        return {"image": example.file, "boxes": answer.plain()}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no boxes."""
        return {"image": text, "boxes": []}

    def question(self, model: Any, example: Boxed, answer: Detection) -> "Question":
        """Ask which cells speak for each box."""
        from heedful.tasks.detect.question import why_found

        return why_found(self, model, example, answer)

    def picture(
        self, model: "nn.Module", example: Boxed, answer: Detection
    ) -> ImageAttention | None:
        """Return the image with its boxes, and where the queries of the surest four looked."""
        from heedful.tasks.detect.picture import box_picture

        return box_picture(model, self.encode([example]), answer, title=str(answer))

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the logits of every query, and the label that it is to find."""
        from heedful.tasks.detect.matching import rows_of

        images, labels, boxes = batch
        return rows_of(model(images), labels, boxes)


def _things(path: Path) -> tuple[list[str], Frame]:
    """Labels, and how large images are, of a file that somebody else may have written."""
    about = read_json(path)
    try:
        labels = [name for name in about["labels"] if isinstance(name, str)]
        sizes = [about["frame"][name] for name in ("height", "width", "channels")]
        whole = 0 < len(labels) == len(about["labels"]) == len(set(labels))
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} must hold labels and a frame, got: {error!r:.80}") from None
    if not whole or not all(type(size) is int and 0 < size <= 100_000 for size in sizes):
        raise RunError(f"{path} must hold labels and a frame, got {about!r:.80}")
    height, width, channels = sizes
    return labels, Frame(height=height, width=width, channels=channels)


def _check_crowds(examples: Sequence[Boxed], queries: int) -> None:
    for each in examples:
        if len(each.boxes) > queries:
            raise DataError(
                f"{each.file}, image {each.index}, must have no more boxes than the {queries} "
                f"queries, got {len(each.boxes)}: lower model.every or model.stride"
            )
