"""A model whose numbers were dealt out anew, and whether a map notices."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.explaining.methods import Method
from heedful.explaining.question import Question
from heedful.metrics.rank_correlation import rank_correlation
from heedful.nn.compact import widen


@torch.no_grad()
def randomised(model: nn.Module, *, seed: int) -> nn.Module:
    """Return a copy of a model that has learned nothing, but looks as if it had.

    The numbers of each parameter change places within it: mean, spread and extremes stay, so
    activations keep their scale. Parameters that are one stay one. Running averages of a
    normalisation are of features that are no more: each becomes the mean of all, so that none is
    divided by a spread that belongs to another.

    Args:
        model: Is not changed.
        seed: Of the draws.

    Source:
        Adebayo et al. 2018, arXiv:1810.03292, section 3 (all layers at once; they draw as at the
        start of a training, which only the author of a model knows).

    Cost:
        The model once more.
    """
    changed = widen(copy.deepcopy(model))  # what is held in few bits is no parameter
    generator = torch.Generator().manual_seed(seed)
    for parameter in changed.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
    for module in changed.modules():
        for name in ("running_mean", "running_var"):
            running = getattr(module, name, None)
            if isinstance(running, Tensor):
                running.fill_(running.mean())
    return changed


def resemblance(
    model: nn.Module,
    question: Question,
    method: Method,
    weights: NDArray[np.float64],
    *,
    times: int = 5,
    seed: int = 0,
) -> float:
    """Return how much a map is like those that a method makes of models with random weights.

    It is Spearman's rank correlation, the mean over targets and random models. A map without any
    order is like another one without any, and like no other.

    Args:
        model: Of which the map is.
        question: What was asked.
        method: What made the map.
        weights: The map, `(targets, pieces)`.
        times: How many random models. With few pieces chance alone makes one or two alike.
        seed: Of their weights.

    Raises:
        ConfigError: `times` is below 1.

    Source:
        As `randomised`.

    Cost:
        The method, `times` times, with one more model in memory.
    """
    if times < 1:
        raise ConfigError(f"times must be at least 1, got {times}")
    found = [
        _alike(first, second)
        for number in range(times)
        for first, second in zip(
            weights, method(randomised(model, seed=seed + number), question).weights, strict=True
        )
    ]
    return float(np.mean(found))


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return 1.0
    return rank_correlation(first, second)
