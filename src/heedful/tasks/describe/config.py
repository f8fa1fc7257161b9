"""The config of a description of images: data, tokens, network, training, search."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

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
from heedful.data.scenes import SIDE


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


Column = Annotated[str, BeforeValidator(_as_text)]


class SceneData(Section):
    """The built-in scenes: two or three shapes, told in one sentence.

    Pairs of objects that stand together in dev are together nowhere else; the same with test.
    """

    name: Literal["scenes"] = "scenes"
    language: Literal["english", "chinese"] = "english"
    examples: Count = 8_000  # to learn from
    dev: Count = 400
    test: Count = 1_000
    noise: Annotated[int, Field(ge=0, le=255)] = 8  # of the pixels, in steps of brightness


class TableData(Section):
    """A table for each split: TSV or, where it is called so, CSV; images lie beside it."""

    name: Literal["table"] = "table"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    path: Column = "path"  # a column: its name in the first line, or its number from 1
    caption: Column = "caption"
    size: Side = 64  # pixels a side to which images are cut and resized
    colour: bool = True


class Tokens(Section):
    """How a sentence becomes tokens."""

    kind: Literal["words", "characters", "bpe"] = "words"
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 8_000  # upper limit
    min_count: Count = 1  # rarer pieces become <unk>; in bpe, rarer pairs stay apart


class Model(Section):
    """`heedful.models.image_captioner.ImageCaptioner`."""

    encoder: Annotated[Literal["cnn", "patches"], Choices()] = "cnn"
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 4
    patch: Length = 8  # pixels a side of a cell that a word can look at
    encoder_layers: Annotated[int, Field(ge=0, le=1_000)] = 0  # of self-attention among cells
    decoder_layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 128
    dropout: Fraction = 0.1
    word_dropout: Fraction = 0.3  # words hidden from the decoder, so that it looks at the image
    attention: Annotated[bool, Choices()] = True  # of words to cells; else they see the mean


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    batch_size: Count = 32
    label_smoothing: Fraction = 0.0


class Decode(Section):
    """How sentences are searched."""

    beam: Annotated[int, Field(gt=0, le=1_000)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.6
    max_length: Length = 64
    batch: Annotated[int, Field(gt=0, le=100_000)] = 64


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["describe"] = "describe"
    data: Annotated[SceneData | TableData, Field(discriminator="name")] = SceneData()
    tokens: Tokens = Tokens()
    model: Model = Model()
    train: Train = Train(minutes=4.0)
    decode: Decode = Decode()


def image_shape(data: SceneData | TableData) -> tuple[int, int]:
    """Return pixels a side and channels of the images."""
    if isinstance(data, SceneData):
        return SIDE, 3
    return data.size, 3 if data.colour else 1


def problem(config: Config) -> str | None:
    """Return what is wrong with the sizes of the network, or `None`."""
    model, (size, _) = config.model, image_shape(config.data)
    if model.width % model.heads or model.width % 2:
        return (
            "model.width must be even and a multiple of model.heads, "
            f"got {model.width} and {model.heads}"
        )
    if size % model.patch:
        return f"model.patch must divide the {size} pixels of a side, got {model.patch}"
    if model.encoder == "cnn" and (model.patch & (model.patch - 1) or model.patch == 1):
        return f"model.patch must be a power of two above 1 with cnn, got {model.patch}"
    return None
