"""The config of a speech recognition: data, tokens, features, network, training, search."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    Fraction,
    Layers,
    Length,
    Positive,
    Rate,
    Section,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.load_sounds import NumbersData, TextsData, problem_of
from heedful.tasks.spectrograms import Sound, bands_problem


class Tokens(Section):
    """How text becomes tokens."""

    kind: Literal["words", "characters"] = "characters"
    lowercase: bool = True
    vocabulary: Annotated[int, Field(gt=0, le=1_000_000)] = 8_000  # upper limit
    min_count: Count = 1  # rarer pieces become <unk>


class Model(Section):
    """`heedful.models.speech_recogniser.SpeechRecogniser`."""

    width: Annotated[Width, Fractions()] = 96
    channels: Width = 32  # of the convolutions that come first
    layers: Layers = 2  # of self-attention
    decoder_layers: Layers = 1
    heads: Annotated[Width, Powers(divide="width")] = 4
    feedforward: Annotated[Length, Multiples(of="width")] = 192
    stride: Literal[1, 2, 4] = 4  # frames of 10 ms that become one state
    attention: Annotated[bool, Choices()] = True  # in the encoder's layers; false: convolutions
    dropout: Fraction = 0.1


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 2e-3
    seconds_per_batch: Positive = 40.0  # of sound, padding included
    ctc_weight: Annotated[float, Field(ge=0, le=1)] = 0.3  # of CTC's loss; the rest: the decoder's
    label_smoothing: Fraction = 0.1  # of the decoder's loss


class Decode(Section):
    """How texts are searched."""

    by: Literal["ctc", "attention"] = "ctc"
    beam: Annotated[int, Field(gt=0, le=1_000)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.6  # of the attention decoder's beams
    max_length: Length = 256  # tokens that the attention decoder writes at most


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "sound", "model")
    task: Literal["recognise-speech"] = "recognise-speech"
    data: Annotated[NumbersData | TextsData, Field(discriminator="name")] = NumbersData()
    tokens: Tokens = Tokens()
    sound: Sound = Sound(mask_time=0.05)
    model: Model = Model()
    train: Train = Train(epochs=20.0)
    decode: Decode = Decode()


def problem(config: Config) -> str | None:
    """Return what does not fit together, or `None`."""
    width, heads = config.model.width, config.model.heads
    if width % heads or width // heads % 2:
        return (
            "model.heads must divide model.width into even parts, got "
            f"model.heads = {heads}, model.width = {width}"
        )
    untrained = {"ctc": 0.0, "attention": 1.0}[config.decode.by]
    if config.train.ctc_weight == untrained:
        return (
            "train.ctc_weight must leave something for what decode.by names, got "
            f"train.ctc_weight = {untrained:g}, decode.by = {config.decode.by!r}"
        )
    return problem_of(config.data) or bands_problem(config.sound, config.data.rate)
