"""Why things were found: cells of the image, and the image without some of them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.explaining.images import REMOVAL, Cells
from heedful.explaining.question import SOURCE, TARGET, Question, Route
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import log_odds
from heedful.tasks.detect.examples import Boxed
from heedful.tasks.detect.images import Detection
from heedful.tasks.standardised import standardised

if TYPE_CHECKING:
    from heedful.tasks.detect.task import Detect

ASKED = 8  # boxes, the surest first


def why_found(task: "Detect", model: Any, example: Boxed, answer: Detection) -> Question:
    """Ask why each box has its label: its log-odds at the query that found it.

    Cells are those on which queries stand, so a query is asked for where it stands, too.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The image.
        answer: What was found. Where no box is sure enough, the surest is asked for.

    Raises:
        UnsupportedError: There is no box at all.
    """
    boxes = (answer.sure or list(answer.boxes[:1]))[:ASKED]
    if not boxes:
        raise UnsupportedError("an image must have a box found in it to be explained, got none")
    pixels = task.encode([example]).pixels[0]
    grid, places = _grid(model, *pixels.shape[:2])
    cells = Cells(pixels, grid)
    queries = [box.query for box in boxes]
    targets = tuple(f"{box.label} ({box.score:.0%})" for box in boxes)
    labels = torch.tensor([task.labels.index(box.label) for box in boxes])

    def inputs(kept: Tensor) -> Tensor:
        return standardised(cells.kept(kept))

    def scores(model: nn.Module, images: Tensor) -> Tensor:
        logits = model(images).logits[-1][:, queries]
        return log_odds(logits, labels.to(logits.device).expand(len(logits), -1))

    return Question(
        pieces=cells.names,
        targets=targets,
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=_route(model, places, queries, len(cells.names)),
        embedding=f"down.{len(model.down) - 1}",
        embedded=places,
        channels_first=True,
        shape=grid,
        canvas=pixels,
        # convolutions bring each cell what stands beside it before any attention looks
        method="occlusion",
        title=str(answer) if answer.sure else f"nothing; the surest box: {targets[0]}",
    )


def _grid(model: Any, height: int, width: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Rows and columns of queries, and the number of that on which each cell of the model is."""
    sides = [-(-size // model.stride) for size in (height, width)]
    rows, columns = (max(1, side // model.every) for side in sides)
    row, column = (
        np.arange(side) * count // side for side, count in zip(sides, (rows, columns), strict=True)
    )
    return (rows, columns), tuple((row[:, None] * columns + column).ravel().tolist())


def _route(model: Any, places: tuple[int, ...], queries: list[int], count: int) -> Route | None:
    route = encoder_decoder(model, places, rows=queries)
    if route is None:
        return None
    # a query begins as what stands on its cell
    known = {SOURCE: places, TARGET: tuple(range(count))}
    return Route(steps=route.steps, places=known, answer=TARGET, rows=route.rows)
