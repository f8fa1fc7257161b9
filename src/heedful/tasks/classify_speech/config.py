"""The config of a speech classification: data, features, network, training."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import Fraction, Layers, Length, Positive, Rate, Section, TaskConfig, Width
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.load_sounds import FolderData, TableData, TonesData, problem_of
from heedful.tasks.spectrograms import Sound, bands_problem


class Model(Section):
    """`heedful.models.speech_classifier.SpeechClassifier`."""

    width: Annotated[Width, Fractions()] = 96
    channels: Width = 32  # of the convolutions that come first
    layers: Layers = 2  # of self-attention
    heads: Annotated[Width, Powers(divide="width")] = 4
    feedforward: Annotated[Length, Multiples(of="width")] = 192
    stride: Literal[1, 2, 4] = 4  # frames of 10 ms that become one state
    attention: Annotated[bool, Choices()] = True  # in the layers; false: convolutions
    pooling: Annotated[Literal["attention", "mean"], Choices()] = "attention"
    dropout: Fraction = 0.1


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 2e-3
    seconds_per_batch: Positive = 20.0  # of sound, padding included
    label_smoothing: Fraction = 0.1


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "sound", "model")
    task: Literal["classify-speech"] = "classify-speech"
    data: Annotated[TonesData | FolderData | TableData, Field(discriminator="name")] = TonesData()
    sound: Sound = Sound()
    model: Model = Model()
    train: Train = Train(epochs=30.0)


def problem(config: Config) -> str | None:
    """Return what does not fit together, or `None`."""
    width, heads = config.model.width, config.model.heads
    if width % heads or width // heads % 2:
        return (
            "model.heads must divide model.width into even parts, got "
            f"model.heads = {heads}, model.width = {width}"
        )
    return problem_of(config.data) or bands_problem(config.sound, config.data.rate)
