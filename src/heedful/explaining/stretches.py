"""A long input in stretches of neighbouring pieces: what can be tested piece by piece no more."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.explaining.question import NOWHERE, Question

MOST = 512  # pieces that are tested each by itself
STRETCHES = 128  # of those of which there are more


def in_stretches(question: Question) -> tuple[Question, NDArray[np.intp]] | None:
    """Ask the same of stretches of neighbouring pieces, which stay or go together.

    A verdict takes some copies of the input for each piece, and a random order of a thousand words
    is one that no map of a text resembles: neighbours count alike.

    Args:
        question: Any; cells of an image have neighbours on four sides and stay as they are.

    Returns:
        The question and the stretch of each piece; `None` for inputs that are short enough.
    """
    count = len(question.pieces)
    if count <= MOST or len(question.shape) > 1:
        return None
    stretch = np.arange(count) * STRETCHES // count
    of_pieces = torch.from_numpy(stretch)

    def inputs(kept: Tensor) -> object:
        return question.inputs(kept[:, of_pieces.to(kept.device)])

    route = question.route
    if route is not None:
        places = {name: _there(each, stretch) for name, each in route.places.items()}
        route = replace(route, places=places)
    asked = replace(
        question,
        pieces=_names(question.pieces, stretch),
        inputs=inputs,
        route=route,
        embedded=_there(question.embedded, stretch),
        shape=(),
        together=-(-count // STRETCHES) * question.together,
    )
    return asked, stretch


def summed(weights: NDArray[np.float64], stretch: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a map of stretches, `(targets, stretches)`.

    Args:
        weights: `(targets, pieces)`.
        stretch: Of each piece, as `in_stretches` returns it.
    """
    return np.add.reduceat(weights, np.searchsorted(stretch, np.arange(stretch[-1] + 1)), axis=1)


def _there(places: tuple[int, ...], stretch: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(NOWHERE if piece == NOWHERE else int(stretch[piece]) for piece in places)


def _names(pieces: tuple[str, ...], stretch: NDArray[np.intp]) -> tuple[str, ...]:
    borders = np.searchsorted(stretch, np.arange(stretch[-1] + 2))
    pairs = zip(borders[:-1], borders[1:] - 1, strict=True)
    return tuple(f"{pieces[first]} … {pieces[last]}" for first, last in pairs)
