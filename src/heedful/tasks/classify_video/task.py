"""Video classification: a label for a video, by attention over space and then over time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from heedful.config.problems import show
from heedful.data.examples import Splits
from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.data.moving_digits import MOVING
from heedful.data.videos import NPZ, VideoReference, Videos
from heedful.errors import DataError
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
from heedful.tasks.classify_video.config import Config, MovingData, NpzData, problem
from heedful.tasks.classify_video.videos import Clips, read_splits, reader_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

SHAPE = "task/videos.json"


class ClassifyVideo(Classification[VideoReference]):
    """A label for a video.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.
        size: Pixels of a side of all frames.
        channels: Of all frames.
    """

    config_class = Config
    example_class = VideoReference
    takes = ("video",)
    files = (LABELS, SHAPE)
    unit = "videos"

    def __init__(self, config: Config, labels: Sequence[str], size: int, channels: int) -> None:
        super().__init__(config, labels)
        self.size, self.channels = size, channels

    @classmethod
    def read(cls, config: Config) -> Splits[VideoReference]:
        """Refer to all videos; a held-out label that no training video has is refused."""
        return check_labels(read_splits(config))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[VideoReference]) -> Self:
        """Learn which labels there are, and how large frames are."""
        labels = labels_of(examples)
        height, width, channels = reader_of(config).load(examples[:1]).shape[2:]
        if height != width:
            raise DataError(f"frames must be square, got {height} x {width}")
        return cls(config, labels, height, channels)

    def save(self, folder: Path) -> None:
        """Write the labels, and how large frames are."""
        super().save(folder)
        write_size(folder / SHAPE, self.size, self.channels)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the labels, and how large frames are.

        Raises:
            RunError: They are damaged.
        """
        return cls(config, read_labels(folder / LABELS), *read_size(folder / SHAPE))

    @property
    def reader(self) -> Videos:
        """How videos are read."""
        return replace(reader_of(self.config), size=self.size, channels=self.channels)

    def encode(self, examples: Sequence[VideoReference], *, training: bool = False) -> Clips:
        """Read the videos."""
        import numpy as np

        shape = (self.config.model.frames, self.size, self.size, self.channels)
        pixels = self.reader.load(examples) if examples else np.zeros((0, *shape), np.uint8)
        if pixels.shape[1:] != shape:
            raise DataError(
                f"videos must be as in training, {shape}, got {pixels.shape[1:]} "
                f"in {examples[0].file}"
            )
        return Clips(pixels=pixels, labels=self.numbers(examples))

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.video_transformer import VideoTransformer

        sizes = {"size": self.size, "channels": self.channels}
        settings = self.config.model.model_dump()
        return VideoTransformer(classes=len(self.labels), **sizes, **settings)

    def logits(self, model: "nn.Module", batch: Any) -> "Tensor":
        """Return the logits of a batch."""
        return model(batch["videos"])

    def parse(self, text: str) -> VideoReference:
        """Take a folder of frames, `FILE.npz:NUMBER`, or the number of a video of the data."""
        text = text.strip()
        data, reader = self.config.data, self.reader
        file, colon, number = text.rpartition(":")
        if colon and file.lower().endswith(NPZ) and _is_number(number):
            return reader.refer(file, int(number))
        if text and Path(text).is_dir():
            return reader.refer(text)
        if _is_number(text) and isinstance(data, MovingData):
            return reader.refer(MOVING, int(text))
        if _is_number(text) and isinstance(data, NpzData):
            return reader.refer(data.test or data.train, int(text))
        raise DataError(
            f"a video must be a folder of frames or FILE{NPZ}:NUMBER, or a number where the data "
            f"has numbers, got {show(text)}"
        )

    def identity(self, example: VideoReference) -> str:
        """Return the frames of a video, wherever it is."""
        return example.hash

    def to_json(self, example: VideoReference, answer: Prediction) -> dict[str, Any]:
        """Return the video, its label, and the shares of all labels."""
        return {
            "file": example.file,
            "index": example.index,
            "label": answer.label,
            "shares": answer.shares,
        }

    def question(
        self, model: "nn.Module", example: VideoReference, answer: Prediction
    ) -> "Question":
        """Ask which cells of which frames speak for the label."""
        from heedful.tasks.classify_video.question import why_moving

        return why_moving(self, model, example, answer)

    def picture(
        self, model: "nn.Module", example: VideoReference, answer: Prediction
    ) -> ImageAttention:
        """Return the frames side by side, and what the pooling looked at in each."""
        import numpy as np

        data = self.encode([example])
        weights = self.pooling_weights(model, data)  # a row for each frame
        side = self.size // self.config.model.patch
        cells = weights.view(-1, side, side).permute(1, 0, 2).flatten(1).cpu().numpy()
        title = f"{Path(example.file).name}:{example.index} → {answer.label}"
        strip = np.concatenate(list(data.pixels[0]), axis=1)
        return ImageAttention.of(strip, [AttentionMap.of(cells, word=answer.label)], title=title)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
