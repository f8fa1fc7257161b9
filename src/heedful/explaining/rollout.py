"""Attention rollout: the maps of all layers multiplied, half of each place staying where it is."""

from torch import nn

from heedful.explaining._backwards import Mixture, mean_of_heads, relevance
from heedful.explaining.looks import look
from heedful.explaining.maps import Maps
from heedful.explaining.question import Question


def rollout(model: nn.Module, question: Question) -> Maps:
    """Return how much of each piece arrives where each target is read, if attention just mixed.

    Raises:
        UnsupportedError: The model has no attention that leads to its input.

    Source:
        Abnar and Zuidema 2020, arXiv:2005.00928, section 3 (attention rollout): `0.5 A + 0.5 I` for
        each layer, `A` the heads' mean.

    Cost:
        One forward pass; no product of two maps is made.
    """
    looks, _ = look(model, question)
    found = relevance(
        looks, question, range(len(question.targets)), mean_of_heads, Mixture(0.5, 0.5)
    )
    return Maps.of(found, looks.error)
