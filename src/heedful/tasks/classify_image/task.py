"""Image classification: a label for an image, by convolutions or patches with attention."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from heedful.config.problems import show
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.data.images import SUFFIXES, ImageReference, Source
from heedful.data.load_images import FolderData, IdxData, load_images, source_of
from heedful.errors import ConfigError, DataError
from heedful.tasks.classification import (
    LABELS,
    Classification,
    Prediction,
    check_labels,
    labels_of,
    read_labels,
    read_size,
    write_size,
)
from heedful.tasks.classify_image.config import Config, problem
from heedful.tasks.classify_image.images import Images, read_images

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

SHAPE = "task/images.json"


class ClassifyImage(Classification[ImageReference]):
    """A label for an image.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.
        shape: Height, width and channels of all images; they are square.
    """

    config_class = Config
    example_class = ImageReference
    takes = ("image",)
    files = (LABELS, SHAPE)
    unit = "images"

    def __init__(self, config: Config, labels: Sequence[str], shape: tuple[int, int, int]) -> None:
        super().__init__(config, labels)
        self.shape = shape

    @classmethod
    def read(cls, config: Config) -> Splits[ImageReference]:
        """Refer to all images; a held-out label that no training image has is refused."""
        return check_labels(load_images(config.data, config.seed))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is missing, or does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[ImageReference]) -> Self:
        """Learn which labels there are, and how large images are."""
        labels = labels_of(examples)
        height, width, channels = source_of(config.data).load(examples[:1]).shape[1:]
        if height != width:
            raise DataError(f"images must be square, got {height} x {width}")
        stages = getattr(config.model, "stages", 1)
        if height < 2 ** (stages - 1):
            raise ConfigError(
                f"model.stages must leave a pixel of images of {height} x {width}, got {stages}"
            )
        return cls(config, labels, (height, width, channels))

    def save(self, folder: Path) -> None:
        """Write the labels and the shape."""
        super().save(folder)
        write_size(folder / SHAPE, self.shape[0], self.shape[2])

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the labels and the shape.

        Raises:
            RunError: They are damaged.
        """
        size, channels = read_size(folder / SHAPE)
        return cls(config, read_labels(folder / LABELS), (size, size, channels))

    @property
    def source(self) -> Source:
        """Where images are, and as what pictures are read."""
        size, _, channels = self.shape
        return replace(source_of(self.config.data), size=size, channels=channels)

    def encode(self, examples: Sequence[ImageReference], *, training: bool = False) -> Images:
        """Read the images."""
        settings = self.config.train
        return Images(
            pixels=read_images(self.source, examples, shape=self.shape),
            labels=self.numbers(examples),
            shift=settings.shift,
            flip=settings.flip,
        )

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.convolutional_classifier import ConvolutionalClassifier
        from heedful.models.vision_transformer import VisionTransformer

        made = {"cnn": ConvolutionalClassifier, "vit": VisionTransformer}
        settings = self.config.model.model_dump()
        size, _, channels = self.shape
        network = made[settings.pop("name")]
        return network(classes=len(self.labels), channels=channels, size=size, **settings)

    def logits(self, model: "nn.Module", batch: Any) -> "Tensor":
        """Return the logits of a batch."""
        return model(batch["images"])

    def parse(self, text: str) -> ImageReference:
        """Take the path of a PNG or JPEG file, or the number of an image of the data."""
        text = text.strip()
        if text.lower().endswith(SUFFIXES):
            return self.source.refer(text)
        data = self.config.data
        if isinstance(data, FolderData) or not (text.isascii() and text.isdigit()):
            raise DataError(
                f"an image must be the path of a {', '.join(SUFFIXES)} file"
                f"{'' if isinstance(data, FolderData) else ' or a number'}, got {show(text)}"
            )
        held_out = isinstance(data, IdxData) and data.test is not None
        return self.source.refer(source_of(data, test=held_out).path, int(text[:18]))

    def identity(self, example: ImageReference) -> str:
        """Return the pixels of an image, wherever it is."""
        return example.hash

    def to_json(self, example: ImageReference, answer: Prediction) -> dict[str, Any]:
        """Return the image, its label, and the shares of all labels."""
        return {
            "file": example.file,
            "index": example.index,
            "label": answer.label,
            "shares": answer.shares,
        }

    def question(
        self, model: "nn.Module", example: ImageReference, answer: Prediction
    ) -> "Question":
        """Ask which cells speak for the label."""
        from heedful.tasks.classify_image.question import why_seen

        return why_seen(self, model, example, answer)

    def picture(
        self, model: "nn.Module", example: ImageReference, answer: Prediction
    ) -> ImageAttention:
        """Return the image, and where the model looked."""
        from heedful.tasks.classify_image.picture import maps_of

        data = self.encode([example])
        place = f"{Path(example.file).name}:{example.index}" if example.index else example.file
        maps = maps_of(self, model, data, answer.label)
        return ImageAttention.of(data.pixels[0], maps, title=f"{Path(place).name} → {answer.label}")
