"""Occlusion: how much the score falls when one piece is removed."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from heedful.explaining.maps import Maps
from heedful.explaining.question import Question
from heedful.explaining.removal import KeptScores


def occlusion(model: nn.Module, question: Question) -> Maps:
    """Return how much each piece counts: the score of the whole input minus that without one piece.

    It is negative where the model means the target more without the piece. Pieces that stand in for
    each other seem to count for nothing: each is removed alone.

    Args:
        model: Of which the question is.
        question: What is asked.

    Raises:
        DataError: A score is not finite.

    Source:
        Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2 (grey squares on images).

    Cost:
        A copy of the input for each piece, and one more.
    """
    return Maps(occluded(KeptScores(model, question)))


def occluded(scores: KeptScores) -> NDArray[np.float64]:
    """Return the same numbers `(targets, pieces)`, of scores that may be known already."""
    return (scores.whole() - scores.of(~np.eye(scores.pieces, dtype=bool))).T
