"""The config of a video classification: data, network, training."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Layers,
    Length,
    Section,
    Side,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.moving_digits import SMALLEST

Frames = Annotated[int, Field(gt=0, le=1_000)]
Time = Literal["attention", "mean"]


class MovingData(Section):
    """Made videos: a digit of scikit-learn drifts over a canvas; needs the extra `images`."""

    name: Literal["moving"] = "moving"
    label: Literal["direction", "digit", "speed"] = "direction"  # what is asked for
    examples: Count = 3_200  # videos over all three splits; no digit is in two of them
    dev: Count = 600
    test: Count = 600
    size: Annotated[int, Field(ge=SMALLEST, le=1_000)] = 20  # pixels a side of the canvas
    noise: Annotated[float, Field(ge=0, le=10)] = 0.05  # on every pixel, in shares of white


class FolderData(Section):
    """A folder for each label, in it one for each video, in it frames; needs the extra `images`."""

    name: Literal["folder"] = "folder"
    train: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    dev_examples: Count | None = None  # taken out of `train`; None: a tenth, up to 100
    renamed: ClassVar = {"dev": "dev_examples"}
    size: Side = 32  # pixels a side to which frames are cut and resized
    colour: bool = True


class NpzData(Section):
    """NPZ files with `videos`, unsigned bytes, and `labels`, texts or whole numbers."""

    name: Literal["npz"] = "npz"
    train: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    dev_examples: Count | None = None  # taken out of `train`; None: a tenth, up to 100
    renamed: ClassVar = {"dev": "dev_examples"}


VideoData = MovingData | FolderData | NpzData


class Model(Section):
    """`heedful.models.video_transformer.VideoTransformer`."""

    frames: Frames = 5  # of each video, evenly spaced; 1: that in the middle alone
    time: Annotated[Time, Choices()] = "attention"  # over frames, or their mean alone
    patch: Width = 5  # pixels of a side; divides the size of the frames
    width: Annotated[Width, Fractions()] = 32
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 64
    dropout: Fraction = 0.0


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "batch_size")
    batch_size: Count = 32
    label_smoothing: Fraction = 0.0


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["classify-video"] = "classify-video"
    data: Annotated[VideoData, Field(discriminator="name")] = MovingData()
    model: Model = Model()
    train: Train = Train(epochs=12.0, learning_rate=5e-3)


def problem(config: Config) -> str | None:
    """Return what does not fit together, or `None`."""
    data, model = config.data, config.model
    if model.width % model.heads:
        return f"heads must divide width, got heads={model.heads}, width={model.width}"
    if not isinstance(data, NpzData) and data.size % model.patch:
        return f"model.patch must divide the size of the frames, got {model.patch} and {data.size}"
    if isinstance(data, MovingData) and data.dev + data.test >= data.examples:
        return (
            "data.dev and data.test must leave a video to learn from, "
            f"got {data.dev:,} and {data.test:,} of {data.examples:,}"
        )
    return None
