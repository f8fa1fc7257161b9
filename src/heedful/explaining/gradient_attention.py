"""Gradient x attention: weights that a target's score would rise with, layer upon layer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from heedful.explaining._backwards import Mixture, relevance
from heedful.explaining.looks import Look, look
from heedful.explaining.maps import Maps
from heedful.explaining.question import Question
from heedful.explaining.removal import copies_at_once

TARGETS = 32  # that are asked for together


def gradient_attention(model: nn.Module, question: Question) -> Maps:
    """Return how much each target owes to each piece: attention, where more of it helps.

    For each layer `mean over heads of max(0, gradient * weights)` is added to the identity, and
    these are multiplied; what is negative speaks for something else.

    Raises:
        UnsupportedError: The model has no attention that leads to its input.

    Source:
        Chefer et al. 2021, arXiv:2103.15679, equations 5 and 6, without the normalisation of
        equations 8 and 9 between the parts of a model, and without relevance propagation.

    Cost:
        One forward and one backward pass for each target, at most 32 at a time, through whatever
        kernels the model uses; memory linear in the length of the input.
    """
    found: list[Tensor] = []
    error: float | None = 0.0
    for targets in targets_at_once(question):
        looks, _ = look(model, question, targets)
        found.append(relevance(looks, question, targets, helpful, Mixture(1.0, 1.0)))
        error = None if error is None or looks.error is None else max(error, looks.error)
    return Maps.of(torch.cat(found), error)


def targets_at_once(question: Question) -> Iterator[range]:
    """Go through the targets, as many at a time as there is room for."""
    size, targets = copies_at_once(question, TARGETS), range(len(question.targets))
    return (targets[start : start + size] for start in targets[::size])


def helpful(each: Look) -> Tensor:
    """Return weights times their gradients where these are positive, the heads' mean."""
    return (each.gradients * each.weights).clamp(min=0).mean(1)
