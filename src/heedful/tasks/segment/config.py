"""The config of a segmentation: images with masks, the network, training."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Rate,
    Section,
    Side,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Powers

Classes = Annotated[int, Field(ge=2, le=255)]
Share = Annotated[float, Field(gt=0, lt=1)]


class ShapesData(Section):
    """Drawn ellipses to find among rectangles and triangles, 48 x 48 pixels."""

    name: Literal["shapes"] = "shapes"
    examples: Count = 1_000  # images over all three splits
    dev: Count = 100
    test: Count = 200


class NpzData(Section):
    """Arrays of bytes: `images` (n, height, width[, 3]) and `masks` (n, height, width)."""

    name: Literal["npz"] = "npz"
    train: DataPath
    test: DataPath | None = None  # None: test_share of train
    dev_share: Share = 0.1  # held out of train
    test_share: Fraction = 0.2  # held out of train where there is no test; 0: none
    classes: Classes = 2  # 2: 0 is the ground, and the other value is what is looked for


class FolderData(Section):
    """PNG or JPEG files in `images`, PNG of the same names in `masks`; needs the extra `images`."""

    name: Literal["folder"] = "folder"
    train: DataPath
    test: DataPath | None = None  # None: test_share of train
    dev_share: Share = 0.1  # held out of train
    test_share: Fraction = 0.2  # held out of train where there is no test; 0: none
    classes: Classes = 2  # 2: 0 is the ground, and the other value is what is looked for
    size: Side = 96  # pixels a side to which images and masks are resized
    colour: bool = True


Data = Annotated[ShapesData | NpzData | FolderData, Field(discriminator="name")]


class Model(Section):
    """`heedful.models.unet.UNet`."""

    width: Annotated[Width, Fractions()] = 16  # channels at full size; a multiple of 4
    halvings: Annotated[int, Field(gt=0, le=8)] = 3  # of the image; each doubles the channels
    gates: Annotated[bool, Choices()] = True  # attention gates where sizes meet again
    attention_layers: Annotated[int, Field(ge=0, le=100)] = 1  # self-attention at the smallest size
    heads: Annotated[Width, Powers(divide="width")] = 4


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 3e-3
    batch_size: Count = 16
    dice: Annotated[float, Field(ge=0, le=1_000)] = 1.0  # weight of Dice's loss of every image
    augment: bool = True  # mirror and turn training images by quarters


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["segment"] = "segment"
    data: Data = ShapesData()
    model: Model = Model()
    train: Train = Train(minutes=2.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with settings, or `None`."""
    model, data = config.model, config.data
    if model.width % 4:
        return f"model.width must be a multiple of 4, got {model.width}"
    smallest = model.width * 2**model.halvings
    if model.attention_layers and smallest % model.heads:
        return (
            f"model.heads must divide the {smallest} channels of the smallest size, "
            f"got {model.heads}"
        )
    if isinstance(data, ShapesData):
        if data.dev + data.test >= data.examples:
            return (
                "data.examples must leave some to learn from, got "
                f"{data.examples} with dev = {data.dev} and test = {data.test}"
            )
    elif data.test is None and data.dev_share + data.test_share >= 1:
        return (
            "data.dev_share + data.test_share must be below 1, got "
            f"{data.dev_share} + {data.test_share}"
        )
    return None
