"""The config of a rating of products: data, tokens, network, training."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field

from heedful.config.base import (
    Count,
    DataPath,
    Fraction,
    Layers,
    Positive,
    Rate,
    Section,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Powers
from heedful.tasks.classify_text.config import Column, Names
from heedful.tasks.classify_text.config import Tokens as TextTokens


def _as_words(value: object) -> object:
    return [str(each) for each in cast(list[object], value)] if isinstance(value, list) else value


Ranks = Annotated[Names, BeforeValidator(_as_words)]


class PhoneData(Section):
    """The built-in reviews: opinions about phones, of which it is known which count."""

    name: Literal["phones"] = "phones"
    languages: Names = ("en", "zh")
    examples: Count = 5_000  # products over all splits
    dev: Count = 500
    test: Count = 500


class TableData(Section):
    """One file a split: TSV or, where it is called so, CSV; `.gz` is unpacked."""

    name: Literal["table"] = "table"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    review: Column = "review"  # a column: its number from 1, or its name in the first line
    rating: Column = "label"  # a column of numbers, or of the words in `ranks`
    ranks: Ranks = ()  # words for a rating, from the worst to the best
    product: Column = ""  # a column: rows that share it are one product; empty: each row is one
    step: Positive = 1.0  # points of a rating that make a class


class Tokens(TextTokens):
    """How reviews become tokens and n-grams of tokens."""

    kind: Literal["words", "characters", "bpe"] = "words"
    lowercase: bool = True
    max_reviews: Count = 64  # of a product with more of them the first ones are read


class Model(Section):
    """Words of a review, then reviews of a product, each pooled by attention or as a mean."""

    order = ("attention", "encoder")
    attention: Annotated[bool, Choices()] = True
    encoder: Annotated[Literal["none", "lstm", "cnn", "transformer"], Choices()] = "lstm"
    direct: bool = False  # add a linear model of n-grams: better where examples are few
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 1
    dropout: Fraction = 0.3
    token_dropout: Fraction = 0.1
    ngram_dropout: Fraction = 0.3


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 5e-3
    tokens_per_batch: Count = 4_096
    label_smoothing: Fraction = 0.0
    score_weight: Annotated[float, Field(ge=0, le=1e6)] = 1.0  # of the squared error of the score


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["rate-product"] = "rate-product"
    data: Annotated[PhoneData | TableData, Field(discriminator="name")] = PhoneData()
    tokens: Tokens = Tokens()
    model: Model = Model()
    train: Train = Train(epochs=6.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with settings, or `None`."""
    data, (width, heads) = config.data, (config.model.width, config.model.heads)
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if config.model.encoder == "transformer" and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    if config.model.encoder == "lstm" and width % 2:
        return f"width must be even for two directions, got {width}"
    if isinstance(data, TableData) and len(set(data.ranks)) != len(data.ranks):
        return f"ranks must be different words, got {', '.join(data.ranks)}"
    if isinstance(data, TableData) and len(data.ranks) == 1:
        return f"ranks must be two words or more, got {data.ranks[0]}"
    return None
