"""Why a series goes on as is forecast: stretches of its history, and the history without some."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.explaining.question import SOURCE, Question, Route, Step
from heedful.probing.sites import find_sites
from heedful.tasks.forecast.config import PatchModel
from heedful.tasks.forecast.windows import Window

if TYPE_CHECKING:
    from heedful.tasks.forecast.task import Forecast, ForecastTask

TINY = 1e-9  # beside a forecast that nowhere leaves the mean of its window
STRETCHES = 16  # of a history, where the model has no patches


def why_forecast(
    task: "ForecastTask", model: nn.Module, example: Window, answer: "Forecast"
) -> Question:
    """Ask why each column goes on as is forecast.

    The score is the share of the answer that is forecast of a copy: with `f` the answer, less the
    mean of the window, and `g` that of the copy, less the same, it is `f . g / f . f`: 1 for the
    history as it is, 0 for a forecast of the mean.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: Where the history is.
        answer: What was forecast.
    """
    history = task.encode([example]).batch([0], "cpu")["history"][0].numpy()
    settings = task.config.model
    rows = len(history)
    patch = settings.patch if isinstance(settings, PatchModel) else -(-rows // STRETCHES)
    pieces = np.arange(rows) // patch
    said = torch.from_numpy(answer.scaled - history.mean(0))
    level = torch.from_numpy(history.mean(0))

    def inputs(kept: Tensor) -> Tensor:
        copies = [_without(history, there) for there in kept.cpu().numpy()[:, pieces]]
        return torch.from_numpy(np.stack(copies)).to(kept.device)

    def scores(model: nn.Module, batch: Tensor) -> Tensor:
        whole = said.to(batch.device)
        found = model(batch).float() - level.to(batch.device)
        return (found * whole).sum(1) / whole.square().sum(0).clamp(min=TINY)

    places: tuple[int, ...] = ()
    if isinstance(settings, PatchModel):
        count = -(-(rows - patch) // settings.stride) + 1
        middles = np.arange(count) * settings.stride + patch // 2
        places = tuple(pieces[np.minimum(middles, rows - 1)].tolist())
    columns = history.shape[1]
    return Question(
        pieces=tuple(str(first - rows) for first in range(0, rows, patch)),
        targets=answer.columns,
        inputs=inputs,
        scores=scores,
        removal="a straight line between what is left, the mean where nothing is",
        route=_route(model, places, columns),
        embedding="embed" if places and columns == 1 else "",
        embedded=places if columns == 1 else (),
        score="share of the forecast",
        # of what holds, nearly all is by it: see the table of docs/explaining.md
        method="occlusion",
        title=f"rows before {answer.times[0]}, by their first one",
    )


def _without(history: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    if not there.any():
        return np.broadcast_to(history.mean(0), history.shape)
    rows = np.arange(len(history))
    lines = [np.interp(rows, rows[there], column[there]) for column in history.T]
    return np.where(there[:, None], history, np.stack(lines, 1).astype(np.float32))


def _route(model: nn.Module, places: tuple[int, ...], columns: int) -> Route | None:
    """Patches look at patches of their own column; the answer is read at all of them."""
    count = len(places)
    each = tuple(tuple(range(n * count, (n + 1) * count)) for n in range(columns))
    steps = tuple(
        Step(site=site.name, query_places=each, key_places=each)
        for site in find_sites(model)[0]
        if site.name.startswith("encoder")
    )
    return Route(steps=steps, places={SOURCE: places * columns}, answer=SOURCE) if steps else None
