"""The config of a classification of sequences: data, networks, training."""

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
Strands = Literal["one", "both"]


class MotifData(Section):
    """Made: a TATA box, a donor or an acceptor site of splicing in random DNA, or none of them."""

    name: Literal["motifs"] = "motifs"
    examples: Annotated[int, Field(ge=12, le=10_000_000)] = 10_000  # over all three splits
    dev: Count = 1_000
    test: Count = 1_000
    length: Annotated[int, Field(ge=22, le=100_000)] = 80  # letters at most; 3/4 of it at least
    gc: Annotated[float, Field(ge=0.16, le=0.84)] = 0.45  # mean share of G and C
    strands: Strands = "one"  # both: half of the motifs are on the other one


class FileData(Section):
    """One file a split: FASTA (.fa, .fasta, .fna, .faa), or a table as CSV or TSV."""

    name: Literal["files"] = "files"
    train: DataPath  # a label of FASTA is behind the last space or | of the header: >name label
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    alphabet: Literal["dna", "protein"] = "dna"  # dna: of RNA the U is read as T
    sequence: Column = "sequence"  # a column of a table: its name, or its number from 1
    label: Column = "label"
    max_length: Length = 2_000  # letters; a longer sequence is refused


class Model(Section):
    """Convolutions over letters, self-attention over them, and what makes one vector of them."""

    width: Annotated[Width, Fractions()] = 32
    convolutions: Layers = 2
    kernel: Annotated[int, Field(gt=0, le=1_001)] = 9  # odd
    layers: Annotated[int, Field(ge=0, le=1_000)] = 1  # of self-attention; 0: none
    heads: Annotated[Width, Powers(divide="width")] = 4
    feedforward: Annotated[Length, Multiples(of="width")] = 64
    pooling: Annotated[Literal["attention", "mean", "max"], Choices()] = "attention"
    strands: Strands = "one"  # both: of DNA the other strand is read too, and order counts nothing
    dropout: Fraction = 0.1


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 3e-3
    letters_per_batch: Count = 4_096  # padding included
    label_smoothing: Fraction = 0.0


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["classify-sequence"] = "classify-sequence"
    data: Annotated[MotifData | FileData, Field(discriminator="name")] = MotifData()
    model: Model = Model()
    train: Train = Train(epochs=10.0)


def problem(config: Config) -> str | None:
    """Return what is wrong with settings that no schema can tell, or `None`."""
    model, data = config.model, config.data
    width, heads = model.width, model.heads
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if model.layers and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    if model.kernel % 2 == 0:
        return f"kernel must be odd, got {model.kernel}"
    if isinstance(data, FileData) and data.alphabet == "protein" and model.strands == "both":
        return 'model.strands must be "one" for proteins, which have no other strand, got "both"'
    if isinstance(data, MotifData) and data.dev + data.test >= data.examples:
        return (
            "data.examples must be more than data.dev and data.test together, "
            f"got {data.examples}, {data.dev} and {data.test}"
        )
    return None
