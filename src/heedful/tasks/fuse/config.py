"""The config of a fusion: data, features, network, training."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Layers,
    Length,
    OptionalText,
    Positive,
    Rate,
    Section,
    Side,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.load_sounds import Names, SampleRate
from heedful.data.tones import LINES
from heedful.tasks.spectrograms import Sound, bands_problem

MODALITIES = ("image", "sound", "text")


class DigitsData(Section):
    """The built-in digits: an image of scikit-learn, tones of a keypad, a number word with typos.

    Needs the extra `images`.
    """

    name: Literal["digits"] = "digits"
    images: Annotated[int, Field(gt=0, le=1_797)] = 1_797  # over all three splits
    repeats: Count = 2  # examples with each training image, each with tones and a word of its own
    dev: Count = 300
    test: Count = 500
    image_noise: Annotated[int, Field(ge=0, le=200)] = 60  # of pixels, in per cent of their range
    lines: Names = ("desk", "mobile", "booth")  # of the tones; there is one more: abroad
    typos: Fraction = 0.5  # share of letters that are wrong
    rate: SampleRate = 8_000  # samples a second


class TableData(Section):
    """A table for each split: TSV or, where it is called so, CSV; a blank is what is missing."""

    name: Literal["table"] = "table"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    image: OptionalText = "image"  # a column of PNG or JPEG files; "": there is none
    sound: OptionalText = "sound"  # a column of WAV or FLAC files; "": there is none
    text: OptionalText = "text"  # a column; "": there is none
    label: str = "label"  # a column
    size: Side = 32  # pixels a side to which images are cut and resized
    colour: bool = True
    rate: SampleRate = 16_000  # samples a second, which all files must have
    resample: bool = False  # change other rates to this one
    longest: Positive = 10.0  # seconds that are read of a sound


class Model(Section):
    """`heedful.models.modal_fusion.ModalFusion`."""

    modalities: Names = MODALITIES  # those that are read, of what there is
    width: Annotated[Width, Fractions()] = 48
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 2  # of self-attention over all tokens
    feedforward: Annotated[Length, Multiples(of="width")] = 96
    patch: Length = 2  # pixels a side of a cell of the image
    dropout: Fraction = 0.1
    modality_dropout: Fraction = 0.2  # chance that a modality is taken away in training
    attention: Annotated[bool, Choices()] = True  # else the means of each, side by side


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    batch_size: Count = 32
    learning_rate: Rate = 2e-3
    label_smoothing: Fraction = 0.05


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "sound", "model")
    task: Literal["fuse"] = "fuse"
    data: Annotated[DigitsData | TableData, Field(discriminator="name")] = DigitsData()
    sound: Sound = Sound()
    model: Model = Model()
    train: Train = Train(epochs=16.0)


def image_shape(data: DigitsData | TableData) -> tuple[int, int]:
    """Return pixels a side and channels of the images."""
    if isinstance(data, DigitsData):
        return 8, 1
    return data.size, 3 if data.colour else 1


def problem(config: Config) -> str | None:
    """Return what does not fit together, or `None`."""
    model, data = config.model, config.data
    if model.width % model.heads or model.width % 2:
        return (
            "model.width must be even and a multiple of model.heads, "
            f"got {model.width} and {model.heads}"
        )
    strange = [name for name in model.modalities if name not in MODALITIES]
    if strange or not model.modalities:
        got = repr(strange[0]) if strange else "none"
        return f"model.modalities must be some of {', '.join(MODALITIES)}, got {got:.60}"
    size = image_shape(data)[0]
    if size % model.patch or model.patch & (model.patch - 1) or model.patch == 1:
        return (
            f"model.patch must be a power of two above 1 that divides the {size} pixels of a side, "
            f"got {model.patch}"
        )
    if isinstance(data, DigitsData):
        lines = [line for line in data.lines if line not in LINES]
        if lines or not data.lines:
            got = repr(lines[0]) if lines else "none"
            return f"data.lines must be some of {', '.join(LINES)}, got {got:.60}"
    elif not any(getattr(data, name) for name in model.modalities):
        return f"data must name a column for one of {', '.join(model.modalities)}, got none"
    return bands_problem(config.sound, data.rate)
