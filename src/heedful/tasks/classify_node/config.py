"""The config of a node classification: a graph, networks, training."""

from typing import Annotated, ClassVar, Literal

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
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.graph import Normalise

Share = Annotated[float, Field(gt=0, lt=1)]
RENAMED = {"train": "train_share", "dev": "dev_share"}


class BlocksData(Section):
    """The built-in graph: blocks of nodes alike, and strange nodes linked to anybody."""

    name: Literal["blocks"] = "blocks"
    nodes: Annotated[int, Field(ge=20, le=20_000)] = 1_500
    labels: Annotated[int, Field(ge=2, le=100)] = 4
    train_share: Share = 0.1  # of the nodes with a label
    dev_share: Share = 0.2
    renamed: ClassVar = RENAMED
    normalise: Normalise = "columns"  # features


class TablesData(Section):
    """One table of nodes, one of edges: TSV or, where it is called so, CSV; `.gz` is unpacked."""

    name: Literal["tables"] = "tables"
    nodes: DataPath  # all columns that are named nowhere here are features
    edges: DataPath
    id: str = "id"  # a column of the nodes
    label: str = "label"  # a column of the nodes; blank where nobody knows it
    split: str = ""  # a column with train, dev, test or a blank; empty: drawn
    source: str = "from"  # a column of the edges
    target: str = "to"  # the other one
    train_share: Share = 0.6  # of the nodes of each label, where splits are drawn
    dev_share: Share = 0.2  # the rest is the test split
    renamed: ClassVar = RENAMED
    normalise: Normalise = "columns"  # features


class GatModel(Section):
    """Attention over neighbours, as in a graph attention network; or their mean."""

    order = ("name",)
    name: Literal["gat"] = "gat"
    width: Annotated[Width, Fractions()] = 32
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 3
    last_heads: Width | None = None  # of the last layer; None: as many as of the others
    score: Annotated[Literal["additive", "scaled_dot", "mean"], Choices()] = "additive"
    dropout: Fraction = 0.3  # of features, and of what a layer reads
    attention_dropout: Fraction = 0.0  # of weights, where scores are scaled dot products


class TransformerModel(Section):
    """A Transformer whose attention sees neighbours alone."""

    order = ("name",)
    name: Literal["transformer"] = "transformer"
    width: Annotated[Width, Fractions()] = 32
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 64
    dropout: Fraction = 0.3


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    learning_rate: Rate = 2e-2
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    l2: Annotated[float, Field(ge=0, le=1_000)] = 5e-4  # half of it times all squares is lost
    label_smoothing: Fraction = 0.0
    batch_size: Count = 1_000_000  # nodes; what can reach several is computed once
    evaluate_every: Annotated[float, Field(ge=1e-9, le=1e9)] = 0.05  # share of the training


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["classify-node"] = "classify-node"
    data: Annotated[BlocksData | TablesData, Field(discriminator="name")] = BlocksData()
    model: Annotated[GatModel | TransformerModel, Field(discriminator="name")] = GatModel()
    train: Train = Train(steps=100)


def problem(config: Config) -> str | None:
    """Return what is wrong with splits or with the sizes of the network, or `None`."""
    model, data = config.model, config.data
    if data.train_share + data.dev_share > 1:
        return (
            "data.train_share and data.dev_share must be at most 1 together, "
            f"got {data.train_share} and {data.dev_share}"
        )
    if model.width % model.heads:
        return f"model.heads must divide model.width, got {model.heads} and {model.width}"
    if isinstance(model, GatModel) and model.last_heads and model.width % model.last_heads:
        return f"model.last_heads must divide model.width, got {model.last_heads} and {model.width}"
    if isinstance(model, GatModel) and model.score == "additive" and model.attention_dropout:
        return (
            "model.attention_dropout must be 0 where scores are additive, "
            f"got {model.attention_dropout}"
        )
    return None
