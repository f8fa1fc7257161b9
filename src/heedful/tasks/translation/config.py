"""The config of a translation: tokens, networks, training, search."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    Fraction,
    Layers,
    Length,
    Section,
    TaskConfig,
    Width,
)
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Divisors, Fractions, Multiples, Powers
from heedful.data.load import CldrData, Data


class Tokens(Section):
    """How text becomes tokens, on each side."""

    source: Literal["words", "characters", "bpe"] = "words"
    target: Literal["words", "characters", "bpe"] = "characters"
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 8_000  # upper limit on each side
    min_count: Count = 1  # rarer pieces become <unk>; in bpe, rarer pairs stay apart


class TransformerModel(Section):
    """`heedful.models.Transformer`."""

    name: Literal["transformer"] = "transformer"
    width: Annotated[Width, Fractions()] = 128
    heads: Annotated[Width, Powers(divide="width")] = 4
    kv_heads: Annotated[Width | None, Divisors(of="heads")] = None  # None: as many as heads
    encoder_layers: Layers = 2
    decoder_layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 256
    dropout: Fraction = 0.0
    norm: Literal["pre", "post"] = "pre"
    positions: Annotated[
        Literal["sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal"], Choices()
    ] = "rotary+sinusoidal"
    tie_embeddings: bool = True  # decoder input and output embedding share one matrix


Size = Annotated[Width, Fractions(of="width")]


class RnnModel(Section):
    """`heedful.models.RnnSeq2Seq`."""

    name: Literal["rnn"] = "rnn"
    width: Annotated[Width, Fractions()] = 128  # of embeddings
    hidden: Size = 192  # of each encoder direction and of the decoder
    cell: Literal["gru", "lstm"] = "gru"
    encoder_layers: Layers = 1
    attention: Annotated[
        Literal["additive", "dot", "scaled_dot", "general", "location", "coverage", "none"],
        Choices(),
    ] = "additive"
    dropout: Fraction = 0.0
    teacher_forcing: Annotated[float, Field(ge=0, le=1)] = 1.0
    input_feeding: bool = True


Model = Annotated[TransformerModel | RnnModel, Field(discriminator="name")]


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = (
        *("steps", "epochs", "minutes", "tokens_per_batch", "learning_rate", "warmup"),
        *("weight_decay", "loss", "label_smoothing"),
    )
    tokens_per_batch: Count = 1_024
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    label_smoothing: Fraction = 0.02


class Decode(Section):
    """How translations are searched."""

    beam: Annotated[int, Field(gt=0, le=1_000)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.6
    max_length: Length = 256
    batch: Annotated[int, Field(gt=0, le=100_000)] = 256


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "tokens", "model")
    task: Literal["translation"] = "translation"
    data: Data = CldrData()
    tokens: Tokens = Tokens()
    model: Model = TransformerModel()
    train: Train = Train(minutes=3.75)
    decode: Decode = Decode()
