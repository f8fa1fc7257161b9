"""The config of a text classification: data, tokens, networks, training."""

from typing import Annotated, Literal, cast

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
from heedful.data.languages import LANGUAGES


def _as_tuple(value: object) -> object:
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Column = Annotated[str, BeforeValidator(_as_text)]
Score = Literal["scaled_dot", "additive"]


class LanguageData(Section):
    """The built-in texts: phrases of Unicode CLDR, and the language that each is in."""

    name: Literal["languages"] = "languages"
    languages: Names = LANGUAGES  # locales of Babel
    examples: Count = 12_000  # texts over all three splits
    dev: Count = 1_000
    test: Count = 1_000


class TableData(Section):
    """One file a split: TSV or, where it is called so, CSV; `.gz` is unpacked."""

    name: Literal["table"] = "table"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    text: Column = "1"  # a column: its number from 1, or its name in the first line
    label: Column = "2"


class Tokens(Section):
    """How text becomes tokens and n-grams of tokens."""

    kind: Literal["words", "characters", "bpe"] = "characters"
    lowercase: bool = False
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 8_000  # upper limit
    min_count: Count = 1  # rarer pieces become <unk>; in bpe, rarer pairs stay apart
    ngrams: Annotated[int, Field(gt=0, le=12)] = 3  # tokens of the longest n-grams; 1: none
    ngram_min_count: Count = 2  # rarer n-grams are left out
    max_length: Length = 512  # tokens; of a longer text the first ones are read


class _Model(Section):
    """What all networks have."""

    order = ("name",)
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 4
    score: Annotated[Score, Choices()] = "scaled_dot"  # of the pooling
    dropout: Fraction = 0.5
    token_dropout: Fraction = 0.2
    ngram_dropout: Fraction = 0.3


class PoolingModel(_Model):
    """Attention pooling over embedded n-grams, without an encoder."""

    name: Literal["pooling"] = "pooling"


class LstmModel(_Model):
    """A bidirectional LSTM under the attention pooling."""

    name: Literal["lstm"] = "lstm"
    layers: Layers = 1


class TransformerModel(_Model):
    """Encoder layers of a Transformer under the attention pooling."""

    name: Literal["transformer"] = "transformer"
    layers: Layers = 1
    feedforward: Annotated[Length, Multiples(of="width")] = 128


class ConvolutionModel(_Model):
    """Convolutions under the attention pooling."""

    name: Literal["cnn"] = "cnn"
    layers: Layers = 1
    kernel: Annotated[int, Field(gt=0, le=1_001)] = 3  # odd


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 5e-3
    tokens_per_batch: Count = 2_048
    label_smoothing: Fraction = 0.1


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["classify-text"] = "classify-text"
    data: Annotated[LanguageData | TableData, Field(discriminator="name")] = LanguageData()
    tokens: Tokens = Tokens()
    model: Annotated[
        PoolingModel | LstmModel | TransformerModel | ConvolutionModel, Field(discriminator="name")
    ] = ConvolutionModel()
    train: Train = Train(epochs=6.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with the sizes of the network, or `None`."""
    model = config.model
    width, heads = model.width, model.heads
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if isinstance(model, TransformerModel) and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    if isinstance(model, LstmModel) and width % 2:
        return f"width must be even for two directions, got {width}"
    if isinstance(model, ConvolutionModel) and model.kernel % 2 == 0:
        return f"kernel must be odd, got {model.kernel}"
    return None
