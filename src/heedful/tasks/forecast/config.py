"""The config of a forecast: data, windows, networks, training."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Layers,
    Length,
    Numbers,
    Rate,
    Section,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


def _as_texts(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    return tuple(map(_as_text, cast(list[object], value)))


Column = Annotated[str, BeforeValidator(_as_text)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]
Rows = Annotated[Numbers, Field(max_length=3)]


class SeasonsData(Section):
    """The built-in series: seasons, trends and noise, whose regimes change now and then."""

    name: Literal["seasons"] = "seasons"
    rows: Annotated[int, Field(ge=100, le=1_000_000)] = 6_000  # hours
    series: Width = 4  # columns
    split: Rows = ()  # rows of training, dev and test; empty: 70, 10 and 20 %


class TableData(Section):
    """One table over time: TSV or, where it is called so, CSV; `.gz` is unpacked."""

    name: Literal["table"] = "table"
    file: DataPath
    time: Column = "date"  # a column: its name in the first line, or its number from 1
    columns: Columns = ()  # of numbers; empty: all others
    split: Rows = ()  # rows of training, dev and test; empty: 70, 10 and 20 %


class Windows(Section):
    """What is read, and what is forecast from it."""

    history: Length = 96  # rows that are read
    horizon: Length = 24  # rows behind them that are forecast


class PatchModel(Section):
    """A Transformer over patches of each column, which all share it."""

    order = ("name",)
    name: Literal["patches"] = "patches"
    patch: Length = 16  # rows of a patch
    stride: Length = 8  # rows from one patch to the next
    width: Annotated[Width, Fractions()] = 32
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 64
    dropout: Fraction = 0.1
    attention: Annotated[Literal["full", "window", "none"], Choices()] = "full"
    window: Length = 2  # patches that are seen on either side, where attention is "window"
    normalise: Annotated[bool, Choices()] = True  # each window by its own mean and deviation


class LinearModel(Section):
    """One linear layer from the history to the future, less the last value: NLinear."""

    name: Literal["linear"] = "linear"


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 2e-3
    batch_size: Count = 32  # windows, of all columns


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "window", "model")
    task: Literal["forecast"] = "forecast"
    data: Annotated[SeasonsData | TableData, Field(discriminator="name")] = SeasonsData()
    window: Windows = Windows()
    model: Annotated[PatchModel | LinearModel, Field(discriminator="name")] = PatchModel()
    train: Train = Train(epochs=3.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with the sizes of splits and of the network, or `None`."""
    model, split = config.model, config.data.split
    if split and (len(split) != 3 or min(split[:2]) < 1 or split[2] < 0):
        return (
            f"data.split must be rows of training, of dev and, maybe 0, of test, got {list(split)}"
        )
    columns = config.data.columns if isinstance(config.data, TableData) else ()
    if len(set(columns)) < len(columns):
        return f"data.columns must name each column once, got {', '.join(columns):.200}"
    if isinstance(model, LinearModel):
        return None
    if model.patch > config.window.history:
        return (
            f"model.patch must be at most window.history, got {model.patch} and "
            f"{config.window.history}"
        )
    if model.stride > model.patch:
        return f"model.stride must be at most model.patch, got {model.stride} and {model.patch}"
    if model.width % model.heads:
        return f"model.heads must divide model.width, got {model.heads} and {model.width}"
    return None
