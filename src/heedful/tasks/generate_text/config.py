"""The config of a text generation: data, tokens, networks, training, sampling."""

from typing import Annotated, Literal

from pydantic import Field

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
from heedful.config.hints import Divisors, Fractions, Multiples, Powers


class _Passages(Section):
    """What is the same for every text."""

    order = ("name",)
    dev_share: Fraction = 0.1  # of the text, behind what is learned
    test_share: Fraction = 0.1  # of the text, at its end
    passage: Length = 128  # characters of a held-out passage, at most
    before: Annotated[int, Field(ge=1, le=1_000_000)] = 128  # characters read before each


class ReferenceData(_Passages):
    """The built-in text: Python's language reference."""

    name: Literal["python_reference"] = "python_reference"


class TextData(_Passages):
    """A text file, or a folder of *.txt; `.gz` is unpacked. A split with a file takes no share."""

    name: Literal["text"] = "text"
    train: DataPath
    dev: DataPath | None = None  # None: the share of `train`
    test: DataPath | None = None  # None: the share of `train`


class Tokens(Section):
    """How text becomes tokens."""

    kind: Literal["characters", "bpe", "words"] = "characters"
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 2_000  # upper limit
    min_count: Count = 1  # rarer pieces become <unk>; in bpe, rarer pairs stay apart


class _Model(Section):
    """What all networks have."""

    order = ("name",)
    width: Annotated[Width, Fractions()] = 128
    layers: Layers = 4
    dropout: Fraction = 0.0
    context: Annotated[int, Field(gt=1, le=1_000_000)] = 256  # tokens of a window in training


class TransformerModel(_Model):
    """`heedful.models.language_model.CausalTransformer`."""

    name: Literal["transformer"] = "transformer"
    heads: Annotated[Width, Powers(divide="width")] = 4
    kv_heads: Annotated[Width | None, Divisors(of="heads")] = None  # None: as many as heads
    feedforward: Annotated[Length, Multiples(of="width")] = 512


class LstmModel(_Model):
    """`heedful.models.language_model.CausalLstm`: no attention."""

    name: Literal["lstm"] = "lstm"
    layers: Layers = 2


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "tokens_per_batch", "learning_rate", "warmup")
    tokens_per_batch: Count = 2_048
    learning_rate: Rate = 3e-3
    watched: Count = 64  # passages of dev that choose the checkpoint, spread over all of it


class Decode(Section):
    """How a text goes on: a seed gives the same text for the same prompt."""

    length: Length = 100  # tokens written
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.8  # 0: always the likeliest token
    top_k: Annotated[int, Field(gt=0, le=10_000_000)] | None = None  # None: any token
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95  # probability of those that may be drawn
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    batch: Annotated[int, Field(gt=0, le=100_000)] = 64


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["generate-text"] = "generate-text"
    data: Annotated[ReferenceData | TextData, Field(discriminator="name")] = ReferenceData()
    tokens: Tokens = Tokens()
    model: Annotated[TransformerModel | LstmModel, Field(discriminator="name")] = TransformerModel()
    train: Train = Train(minutes=3.0)
    decode: Decode = Decode()


def problem(config: Config) -> str | None:
    """Return what is wrong with sizes or shares, or `None`."""
    model, data = config.model, config.data
    if data.dev_share + data.test_share >= 1:
        return (
            "data.dev_share and data.test_share must leave something to learn, "
            f"got {data.dev_share} and {data.test_share}"
        )
    if data.dev_share == 0 and not (isinstance(data, TextData) and data.dev):
        return "data.dev_share must be above 0 where there is no data.dev, got 0"
    if not isinstance(model, TransformerModel):
        return None
    if config.tokens.kind == "characters" and data.passage + data.before > model.context + 1:
        return (
            "data.passage + data.before must be at most model.context + 1 characters, "
            f"got {data.passage} + {data.before}, {model.context}"
        )
    width, heads, kv_heads = model.width, model.heads, model.kv_heads or model.heads
    if width % heads or width // heads % 2:
        return f"heads must divide width into even parts, got {heads=}, {width=}"
    if heads % kv_heads:
        return f"heads must divide by kv_heads, got {heads=}, {kv_heads=}"
    return None
