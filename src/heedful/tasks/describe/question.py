"""Why an image is described so: its cells, and the image with some of them of one colour."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from heedful.data.tokens import BOS
from heedful.errors import UnsupportedError
from heedful.explaining.images import REMOVAL, Cells
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.tasks.describe.captions import Captioned, load_pixels

if TYPE_CHECKING:
    from heedful.tasks.describe.task import Describe
    from heedful.tasks.describe.writing import Description


def why_described(
    task: "Describe", model: Any, example: Captioned, answer: "Description"
) -> Question:
    """Ask why a model wrote each word about an image, given those before it.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The image.
        answer: What was written of it.

    Raises:
        UnsupportedError: Nothing was written.
    """
    if not answer.written:
        raise UnsupportedError("a sentence must hold a word to be explained, got none")
    said = [BOS, *answer.written]
    cells = Cells(load_pixels([example], task.config.data)[0], (model.side, model.side))
    places = range(model.side**2)

    def scores(model: nn.Module, images: Tensor) -> Tensor:
        pixels = images / 127.5 - 1
        return written_odds(lambda target: model(pixels, target), said, images)

    return Question(
        pieces=cells.names,
        targets=tuple(task.vocabulary.spelled(answer.written)),
        inputs=cells.kept,
        scores=scores,
        removal=REMOVAL,
        # without attention words look at one cell, the mean of all
        route=encoder_decoder(model, places, rows=range(len(said) - 1))
        if model.attention
        else None,
        embedding="read",
        embedded=tuple(places),
        channels_first=True,
        shape=cells.shape,
        canvas=cells.pixels,
        title=task.show(answer),
    )
