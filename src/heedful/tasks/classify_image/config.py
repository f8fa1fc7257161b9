"""The config of an image classification: data, networks, training."""

from typing import Annotated, Literal

from pydantic import Field

from heedful.config.base import Count, Fraction, Layers, Length, Section, TaskConfig, Width
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Multiples, Powers
from heedful.data.load_images import DigitsData, FolderData, ImageData, problem_of

DIGIT = 8  # pixels of a side

# all of heedful.nn.mechanisms but those that choose from a cache
Mechanism = Literal[
    "scaled_dot",
    "adaptive_span",
    "additive",
    "block_sparse",
    "blockwise",
    "concat",
    "cosine",
    "differential",
    "dot",
    "entmax",
    "general",
    "hedgehog",
    "linear",
    "linformer",
    "low_rank",
    "neighbourhood",
    "nystrom",
    "performer",
    "reformer",
    "scalable",
    "selected_blocks",
    "sigmoid",
    "sink",
    "sparsemax",
    "talking_heads",
    "temperature",
    "top_k",
    "window",
]
Attention = Literal["none", "se", "cbam", "self-attention"]


class ConvolutionModel(Section):
    """`heedful.models.convolutional_classifier.ConvolutionalClassifier`."""

    name: Literal["cnn"] = "cnn"
    width: Annotated[Width, Fractions()] = 16  # channels of the first stage; doubled with each
    stages: Annotated[int, Field(gt=0, le=10)] = 2  # each of half the height and width
    blocks: Layers = 1  # of each stage: two convolutions
    attention: Annotated[Attention, Choices()] = "self-attention"
    reduction: Annotated[Width, Powers(divide="width")] = 4  # of channels, by se and cbam
    heads: Annotated[Width, Powers(divide="width")] = 4  # of the self-attention
    dropout: Fraction = 0.0


class PatchModel(Section):
    """`heedful.models.vision_transformer.VisionTransformer`."""

    name: Literal["vit"] = "vit"
    patch: Width = 2  # pixels of a side; divides the size of the images
    width: Annotated[Width, Fractions()] = 64
    heads: Annotated[Width, Powers(divide="width")] = 4
    layers: Layers = 2
    feedforward: Annotated[Length, Multiples(of="width")] = 128
    mechanism: Mechanism = "scaled_dot"
    dropout: Fraction = 0.1


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "batch_size")
    batch_size: Count = 64
    label_smoothing: Fraction = 0.0
    shift: Annotated[int, Field(ge=0, le=1_000)] = (
        0  # pixels that training images are moved at most
    )
    flip: bool = False  # mirror half of the training images


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["classify-image"] = "classify-image"
    data: ImageData = DigitsData()
    model: Annotated[ConvolutionModel | PatchModel, Field(discriminator="name")] = (
        ConvolutionModel()
    )
    train: Train = Train(epochs=20.0)


def problem(config: Config) -> str | None:
    """Return what is missing, or does not fit together, or `None`."""
    data, model = config.data, config.model
    if model.width % model.heads:
        return f"heads must divide width, got heads={model.heads}, width={model.width}"
    if isinstance(model, ConvolutionModel):
        weighs = model.attention in ("se", "cbam")
        if weighs and model.width % model.reduction:
            return (
                f"model.reduction must divide model.width, got {model.reduction} and {model.width}"
            )
    elif not isinstance(data, DigitsData | FolderData):
        pass  # its files say how large images are
    elif (size := DIGIT if isinstance(data, DigitsData) else data.size) % model.patch:
        return f"model.patch must divide the size of the images, got {model.patch} and {size}"
    return problem_of(data)
