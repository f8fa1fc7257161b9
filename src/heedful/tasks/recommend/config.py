"""The config of a recommendation: who had what, networks, training."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Layers,
    Length,
    Rate,
    Section,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers


def _column(value: object) -> object:
    if value == "":
        return None
    return str(value) if type(value) is int else value


Column = Annotated[str, BeforeValidator(_column)]
OptionalColumn = Annotated[str | None, BeforeValidator(_column)]


class PlantedData(Section):
    """Made: users follow a few series each, in turns; mostly an episode follows the one before."""

    name: Literal["planted"] = "planted"
    users: Annotated[int, Field(gt=0, le=1_000_000)] = 2_000
    series: Annotated[int, Field(ge=2, le=1_000)] = 8
    episodes: Annotated[int, Field(ge=2, le=1_000)] = 20  # of each series
    followed: Annotated[int, Field(gt=0, le=100)] = 3  # series of a user
    length: Annotated[int, Field(ge=4, le=10_000)] = 20  # episodes that a user sees, at most
    leaps: Fraction = 0.3  # how often an episode is any other one of its series


class TableData(Section):
    """One file with a row for a user and an item: TSV or, where it is called so, CSV."""

    name: Literal["table"] = "table"
    file: DataPath
    user: Column = "user"  # a column: its name in the first line, or its number from 1
    item: Column = "item"
    time: OptionalColumn = "time"  # numbers or dates; "": lines stand in the order of time
    # last: of each user the last item is for test, the one before for dev, the rest for training
    # random: of each user a tenth for test and dev each; the order means nothing then
    split: Literal["last", "random"] = "last"
    repeats: bool = False  # may an item come again? false: its first time alone counts


class _Model(Section):
    """What both networks have."""

    order = ("name",)
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 2
    max_length: Length = 50  # items of a history that are read: the last ones
    attention: Annotated[bool, Choices()] = True  # over the history; false: its mean
    dropout: Fraction = 0.2


class SasrecModel(_Model):
    """Self-attention over the history: what comes next."""

    name: Literal["sasrec"] = "sasrec"
    layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 128
    positions: Annotated[Literal["learned", "rotary", "none"], Choices()] = "rotary"


class DinModel(_Model):
    """Every item attends to the history: would it be clicked?"""

    name: Literal["din"] = "din"
    hidden: Annotated[Length, Multiples(of="width")] = 64
    negatives: Annotated[int, Field(gt=0, le=10_000)] = 4  # items not clicked, for each one that is


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 3e-3
    items_per_batch: Count = 1_024  # of histories, padding included


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["recommend"] = "recommend"
    data: Annotated[PlantedData | TableData, Field(discriminator="name")] = PlantedData()
    model: Annotated[SasrecModel | DinModel, Field(discriminator="name")] = SasrecModel()
    train: Train = Train(epochs=20.0)


def ordered(data: PlantedData | TableData) -> bool:
    """Say whether the order of a history means something."""
    return isinstance(data, PlantedData) or data.split == "last"


def problem(config: Config) -> str | None:
    """Return what is wrong with settings that no schema can tell, or `None`."""
    model, data = config.model, config.data
    width, heads = model.width, model.heads
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if isinstance(model, SasrecModel) and model.positions == "rotary" and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    if isinstance(data, PlantedData) and data.followed > data.series:
        return f"data.followed must be at most data.series, got {data.followed} and {data.series}"
    if isinstance(data, TableData) and data.split == "random" and data.repeats:
        return "data.repeats must be false where data.split is random, got true"
    return None
