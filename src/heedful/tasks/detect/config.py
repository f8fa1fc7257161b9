"""The config of a detection: images with boxes, the network, training, answers."""

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
from heedful.config.hints import Fractions, Powers

Share = Annotated[float, Field(gt=0, lt=1)]
Depth = Annotated[int, Field(ge=0, le=100)]


class DigitsData(Section):
    """Digits of scikit-learn on canvases of 48 x 48 pixels; needs the extra `images`."""

    name: Literal["digits"] = "digits"
    train: Count = 2_000  # images
    dev: Count = 100
    test: Count = 200


class TableData(Section):
    """CSV files with a line for each box, in pixels: path, x, y, width, height, label."""

    name: Literal["table"] = "table"
    train: DataPath
    test: DataPath | None = None  # None: test_share of train
    dev_share: Share = 0.1  # held out of train
    test_share: Fraction = 0.2  # held out of train where there is no test; 0: none
    size: Side = 96  # pixels a side to which images are resized
    colour: bool = True


class MasksData(Section):
    """An NPZ file with `images` and `masks` as for `segment`: boxes around connected parts."""

    name: Literal["masks"] = "masks"
    train: DataPath
    test: DataPath | None = None  # None: test_share of train
    dev_share: Share = 0.1  # held out of train
    test_share: Fraction = 0.2  # held out of train where there is no test; 0: none


Data = Annotated[DigitsData | TableData | MasksData, Field(discriminator="name")]


class Model(Section):
    """`heedful.models.detector.Detector`."""

    width: Annotated[Width, Fractions()] = 64
    stride: Annotated[int, Field(ge=2, le=64)] = 4  # pixels a side of a cell; a power of 2
    every: Annotated[int, Field(ge=1, le=64)] = 1  # cells a side for each query
    encoder_layers: Depth = 1  # 0: cells do not look at each other
    decoder_layers: Depth = 2  # 0: queries look at nothing; with 0 for both there is no attention
    heads: Annotated[Width, Powers(divide="width")] = 4


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 1e-3
    batch_size: Count = 16
    nothing: Annotated[float, Field(gt=0, le=1)] = 0.2  # weight of queries that find nothing
    augment: bool = False  # mirror and turn training images by quarters


class Answer(Section):
    """What `predict` shows."""

    least: Fraction = 0.5  # how sure a box must be


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["detect"] = "detect"
    data: Data = DigitsData()
    model: Model = Model()
    train: Train = Train(minutes=3.0)
    answer: Answer = Answer()


def queries_of(model: Model, height: int, width: int) -> int:
    """Return how many queries look at an image of so many pixels."""
    cells = (-(-side // model.stride) for side in (height, width))
    rows, columns = (max(1, side // model.every) for side in cells)
    return rows * columns


def problem(config: Config) -> str | None:
    """Return what is wrong with settings, or `None`."""
    model, data = config.model, config.data
    if model.stride & (model.stride - 1) or model.width % (4 * model.stride):
        return (
            "model.stride must be a power of 2, and model.width a multiple of 4 * model.stride, "
            f"got model.stride = {model.stride}, model.width = {model.width}"
        )
    if model.width % model.heads:
        return (
            "model.heads must divide model.width, "
            f"got model.heads = {model.heads}, model.width = {model.width}"
        )
    if not isinstance(data, DigitsData) and data.test is None:
        if data.dev_share + data.test_share >= 1:
            return (
                "data.dev_share + data.test_share must be below 1, got "
                f"{data.dev_share} + {data.test_share}"
            )
    return None
