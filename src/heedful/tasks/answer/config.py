"""The config of answers to questions: data, tokens, networks, training."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

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
from heedful.config.hints import Choices, Fractions, Powers


class StoryData(Section):
    """The built-in questions: where people and things are, by stories of a few sentences."""

    name: Literal["stories"] = "stories"
    examples: Count = 6_000  # questions over all splits
    dev: Count = 500
    test: Count = 500


class BabiData(Section):
    """Files in the format of bAbI: `qa1_NAME_train.txt` and `qa1_NAME_test.txt` for each task."""

    name: Literal["babi"] = "babi"
    folder: DataPath
    tasks: Numbers = ()  # their numbers; empty: all that are there, learned together
    dev_share: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of the training stories
    renamed: ClassVar = {"dev": "dev_share"}


class JsonLinesData(Section):
    """One file a split, with a JSON object a line: `text`, `question`, and an `answer` from it."""

    name: Literal["jsonl"] = "jsonl"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev


class Tokens(Section):
    """How text becomes tokens."""

    kind: Literal["words", "characters"] = "words"
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 20_000  # upper limit
    min_count: Count = 1  # rarer pieces become <unk>


class MemoryModel(Section):
    """A memory network: hops over sentences, and one of the answers that training has."""

    order = ("name", "attention")
    name: Literal["memory"] = "memory"
    attention: Annotated[bool, Choices()] = True  # false: the mean of all sentences
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 1
    hops: Layers = 3
    dropout: Fraction = 0.0
    linear_share: Fraction = 0.27  # of the training, its beginning: attention without softmax
    sentences: Count = 50  # of a longer story the last ones are read
    noise: Fraction = 0.1  # in training: chance that a sentence seems to be one longer ago


class BidafModel(Section):
    """Two-way attention between text and question, and an answer that is a piece of the text."""

    order = ("name", "attention")
    name: Literal["bidaf"] = "bidaf"
    attention: Annotated[bool, Choices()] = True  # false: the mean of the question
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 1  # of the encoder behind the two-way attention
    dropout: Fraction = 0.2
    max_length: Length = 400  # tokens of a text that are read
    longest_answer: Length = 15  # tokens


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 0.01
    batch_size: Count = 32


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["answer"] = "answer"
    data: Annotated[StoryData | BabiData | JsonLinesData, Field(discriminator="name")] = StoryData()
    tokens: Tokens = Tokens()
    model: Annotated[MemoryModel | BidafModel, Field(discriminator="name")] = MemoryModel()
    train: Train = Train(epochs=12.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with settings, or `None`."""
    width, heads = config.model.width, config.model.heads
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if isinstance(config.model, BidafModel) and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    return None
