"""Why places of an image became as they are: places within the generator that are taken away."""

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.images import ImageReference
from heedful.explaining.images import Cells
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder
from heedful.tasks.base import device_of
from heedful.tasks.generate_image.gan import ATTENTION, draw_noise
from heedful.tasks.generate_image.images import MadeImage

if TYPE_CHECKING:
    from heedful.tasks.generate_image.task import GenerateImage

REMOVAL = "taken as the mean of all places, where the generator first doubled its image"
SURE = 1 - 1e-6  # of a pixel: what is surer has no slope any more


def why_made(
    task: "GenerateImage", model: Any, example: ImageReference, answer: MadeImage
) -> Question:
    """Ask why places of an image became as light or dark as they are.

    Noise has no pieces that anybody knows. But the generator makes a small image of it first, whose
    places look at each other: these are the pieces. One place of each quarter is asked for, that
    which differs most from the mean colour; its score is the mean log-odds of its pixels to be on
    the side, light or dark, on which they are: as the last thing that is computed is a `tanh`,
    `log((1 + x) / (1 - x))`.

    Args:
        task: With its classes.
        model: That made the image.
        example: Its class and the seed of its noise.
        answer: The image.
    """
    batch = task.encode([example]).batch([0], device_of(model))
    noise, labels = draw_noise(model, batch[2]), batch[1]
    side = model.average.inner_side
    cells = Cells(answer.pixels, (side, side))
    places = _striking(cells)
    of_pixels = cells.of_pixels()
    there = torch.from_numpy(np.stack([of_pixels == place for place in places]))
    drawn = torch.from_numpy(answer.pixels.astype(np.float32)).permute(2, 0, 1)
    sides = torch.where(drawn >= 127.5, 1.0, -1.0)

    def scores(model: Any, kept: Tensor) -> Tensor:
        with _made_one(model.average.inner(), kept):
            copies = model(noise.expand(len(kept), -1), labels.expand(len(kept)))
        odds = 2 * copies.clamp(-SURE, SURE).atanh() * sides.to(copies.device)
        return torch.stack([odds[:, :, pixels].mean((1, 2)) for pixels in there.to(odds.device)], 1)

    return Question(
        pieces=cells.names,
        targets=tuple(cells.names[place] for place in places),
        inputs=lambda kept: kept,
        scores=scores,
        removal=REMOVAL,
        route=encoder(model, range(side**2), sites=ATTENTION, rows=places),
        shape=cells.shape,
        canvas=answer.pixels,
        # what it pays to look at is not what the convolutions that follow draw with
        method="occlusion",
        title=str(answer),
    )


def _striking(cells: Cells) -> list[int]:
    """The cell of each quarter whose colour differs most from the mean."""
    side = cells.shape[0]
    pixels = cells.pixels.astype(np.float64)
    away = np.abs(pixels - pixels.mean((0, 1))).mean(2)
    away = away.reshape(side, len(away) // side, side, -1).mean((1, 3))
    numbers = np.arange(side**2).reshape(side, side)
    found: list[int] = []
    for rows, columns in itertools.product((slice(side // 2), slice(side // 2, side)), repeat=2):
        if away[rows, columns].size:
            found.append(int(numbers[rows, columns].flat[away[rows, columns].argmax()]))
    return found


@contextmanager
def _made_one(inner: nn.Module, kept: Tensor) -> Generator[None]:
    """Give a module an image of which the places that are not kept have the mean of all."""

    def hook(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        image = given[0]
        there = kept.view(len(kept), 1, *image.shape[2:])
        return torch.where(there, image, image.mean((2, 3), keepdim=True)), *given[1:]

    handle = inner.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
