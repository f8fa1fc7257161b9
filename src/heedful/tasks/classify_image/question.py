"""Why an image has its label: its cells, and the image without some of them."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from heedful.data.images import ImageReference
from heedful.explaining.images import REMOVAL, Cells, coarse
from heedful.explaining.question import Question, Route
from heedful.explaining.routes import encoder
from heedful.explaining.scores import label_odds
from heedful.models.convolutional_classifier import ConvolutionalClassifier
from heedful.models.vision_transformer import VisionTransformer
from heedful.tasks.classification import Prediction

if TYPE_CHECKING:
    from heedful.tasks.classify_image.task import ClassifyImage


def why_seen(
    task: "ClassifyImage", model: nn.Module, example: ImageReference, answer: Prediction
) -> Question:
    """Ask why an image has its label.

    Cells are those in which the model attends; 8 x 8 where it does not.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The image.
        answer: Whose label is asked for.
    """
    stages = getattr(task.config.model, "stages", 1)
    cells, route = _cells_and_route(model, coarse(task.encode([example]).pixels[0]), stages)
    label = task.labels[answer.label]

    def inputs(kept: Tensor) -> Tensor:
        return cells.kept(kept) / 127.5 - 1

    def scores(model: nn.Module, images: Tensor) -> Tensor:
        return label_odds(task.logits(model, {"images": images}), label)

    patches = isinstance(model, VisionTransformer)
    return Question(
        pieces=cells.names,
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=route,
        embedding="embed" if patches else "",
        embedded=tuple(range(len(cells.names))) if patches else (),
        channels_first=patches,
        shape=cells.shape,
        canvas=cells.pixels,
        # convolutions bring each cell what stands beside it before any attention looks
        method="" if patches else "occlusion",
        title=f"{example.file.rpartition('/')[2]}:{example.index} → {answer.label}",
    )


def _cells_and_route(model: nn.Module, cells: Cells, stages: int) -> tuple[Cells, Route | None]:
    if isinstance(model, VisionTransformer):
        cells = Cells(cells.pixels, (model.side, model.side))
        return cells, encoder(model, range(model.side**2), sites="layers", pooling="pooling")
    if isinstance(model, ConvolutionalClassifier) and model.look is not None:
        side = (cells.pixels.shape[0] - 1 >> (stages - 1)) + 1  # halved, and rounded up
        cells = Cells(cells.pixels, (side, side))
        return cells, encoder(model, range(side**2), sites="look")
    return cells, None
