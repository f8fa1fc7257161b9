"""Why a video has its label: cells of its frames, and the video without some of them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from heedful.data.videos import VideoReference
from heedful.explaining.images import Cells
from heedful.explaining.question import SOURCE, Question, Route, Step
from heedful.explaining.scores import label_odds
from heedful.probing.sites import find_sites
from heedful.tasks.classification import Prediction

if TYPE_CHECKING:
    from heedful.tasks.classify_video.task import ClassifyVideo

FRAMES = "frames"
REMOVAL = "filled with the mean colour of the video"


def why_moving(
    task: "ClassifyVideo", model: nn.Module, example: VideoReference, answer: Prediction
) -> Question:
    """Ask why a video has its label: the pieces are the patches of all frames, side by side.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The video.
        answer: Whose label is asked for.
    """
    pixels = task.encode([example]).pixels[0]
    frames, side = len(pixels), task.size // task.config.model.patch
    strip = Cells(np.concatenate(list(pixels), axis=1), (side, frames * side))
    label = task.labels[answer.label]

    def inputs(kept: Tensor) -> Tensor:
        wide = strip.kept(kept) / 127.5 - 1
        return wide.unflatten(3, (frames, -1)).permute(0, 3, 1, 2, 4)

    def scores(model: nn.Module, videos: Tensor) -> Tensor:
        return label_odds(task.logits(model, {"videos": videos}), label)

    return Question(
        pieces=strip.names,
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=_route(model, frames=frames, side=side),
        shape=strip.shape,
        canvas=strip.pixels,
        method="occlusion",  # see the table of docs/explaining.md
        title=f"{example.file.rpartition('/')[2]}:{example.index} → {answer.label}",
    )


def _route(model: nn.Module, *, frames: int, side: int) -> Route | None:
    """Places within each frame, frames at each place, then the places of each frame pooled."""
    cells = side**2
    order = np.arange(frames * cells).reshape(side, frames, side).transpose(1, 0, 2).ravel()
    of_frames = tuple(tuple(range(n * cells, (n + 1) * cells)) for n in range(frames))
    of_cells = tuple(tuple(range(cell, frames * cells, cells)) for cell in range(cells))
    steps: list[Step] = []
    for site in find_sites(model)[0]:
        if site.name == "pooling":
            once = tuple((frame,) for frame in range(frames))
            step = Step(site=site.name, queries=FRAMES, residual=False)
            steps.append(replace(step, query_places=once, key_places=of_frames))
        else:
            places = of_cells if site.name.endswith("time") else of_frames
            steps.append(Step(site=site.name, query_places=places, key_places=places))
    if not steps or steps[-1].queries != FRAMES:
        return None
    places = tuple(order.tolist())
    return Route(steps=tuple(steps), places={SOURCE: places}, answer=FRAMES)
