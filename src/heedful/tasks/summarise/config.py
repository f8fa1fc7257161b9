"""The config of a summary: data, tokens, networks, training, search."""

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


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


Column = Annotated[str, BeforeValidator(_as_text)]
Size = Annotated[Width, Fractions(of="width")]


class DocstringData(Section):
    """The built-in texts: docstrings of Python's standard library; held out are whole modules."""

    name: Literal["docstrings"] = "docstrings"
    dev_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_share: Fraction = 0.15


class TableData(Section):
    """One file a split: TSV or, where it is called so, CSV; `.gz` is unpacked."""

    name: Literal["table"] = "table"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    text: Column = "1"  # a column: its number from 1, or its name in the first line
    summary: Column = "2"


class Tokens(Section):
    """How both sides become tokens."""

    lowercase: bool = True
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 2_000  # upper limit
    min_count: Count = 2  # rarer words are unknown; they can be copied
    max_length: Length = 200  # tokens; of a longer text the first ones are read


class TransformerModel(Section):
    """`heedful.models.pointer.PointerTransformer`."""

    name: Literal["transformer"] = "transformer"
    copying: Annotated[bool, Choices()] = True  # may it write words that it points at?
    width: Annotated[Width, Fractions()] = 128
    heads: Annotated[Width, Powers(divide="width")] = 4
    encoder_layers: Layers = 2
    decoder_layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 256
    dropout: Fraction = 0.2


class RnnModel(Section):
    """`heedful.models.RnnSeq2Seq`, which cannot copy."""

    name: Literal["rnn"] = "rnn"
    width: Annotated[Width, Fractions()] = 128  # of embeddings
    hidden: Size = 128  # of each encoder direction and of the decoder
    attention: Annotated[
        Literal["additive", "dot", "scaled_dot", "general", "location", "coverage", "none"],
        Choices(),
    ] = "additive"
    dropout: Fraction = 0.2
    input_feeding: bool = False


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "tokens_per_batch", "learning_rate", "warmup")
    tokens_per_batch: Count = 1_024
    learning_rate: Rate = 4e-3


class Decode(Section):
    """How summaries are searched."""

    beam: Annotated[int, Field(gt=0, le=1_000)] = 4
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 2.0
    max_length: Length = 32
    batch: Annotated[int, Field(gt=0, le=100_000)] = 64


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["summarise"] = "summarise"
    data: Annotated[DocstringData | TableData, Field(discriminator="name")] = DocstringData()
    tokens: Tokens = Tokens()
    model: Annotated[TransformerModel | RnnModel, Field(discriminator="name")] = TransformerModel()
    train: Train = Train(minutes=3.0)
    decode: Decode = Decode()


def problem(config: Config) -> str | None:
    """Return what is wrong with sizes or shares, or `None`."""
    model, data = config.model, config.data
    if isinstance(data, DocstringData) and data.dev_share + data.test_share >= 1:
        return (
            "data.dev_share and data.test_share must leave something to learn, "
            f"got {data.dev_share} and {data.test_share}"
        )
    if isinstance(data, TableData) and data.text == data.summary:
        return f"data.summary must be another column than data.text, got {data.summary!r} for both"
    if isinstance(model, TransformerModel) and model.width % (2 * model.heads):
        width, heads = model.width, model.heads
        return f"heads must divide width into even parts, got {heads=}, {width=}"
    return None
