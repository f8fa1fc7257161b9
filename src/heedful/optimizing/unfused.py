"""Does a model that was taken apart still say what it said? Where not, how far off is it?"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from heedful.allocation.plan import unfused
from heedful.allocation.sites import Site
from heedful.optimizing.problem import Problem, divergence

FAR = 1e-3  # more than rounding makes of it, in half precision too


@torch.inference_mode()
def unfused_divergence(problem: Problem, model: nn.Module) -> float:
    """Return the mean divergence of a changeable form from the original, over rows.

    Args:
        problem: Whose calibration batches are run, and whose original counts.
        model: What `unfused` made of it.
    """
    rows, total = 0, 0.0
    for batch in problem.calibration:
        teacher = problem.outputs(problem.model, batch)
        student = problem.outputs(model, batch)
        total += divergence(problem.kind, student, teacher).item() * len(teacher)
        rows += len(teacher)
    return total / rows


def why_unfused_differs(problem: Problem, distance: float) -> str | None:
    """Say that the form in which sites can be changed is not the original; `None` where it is.

    Args:
        problem: Whose.
        distance: As `unfused_divergence` returned it.
    """
    if distance <= FAR:
        return None
    unit = "nats" if problem.kind == "logits" else "of the variance"
    far = "by no number that can be told" if math.isnan(distance) else f"by {distance:.2g} {unit}"
    return (
        f"the form in which sites can be changed differs from the model {far}, before any change: "
        "something is more than its weights, e.g. float masks, layers of an adapter or methods "
        "of its own, which torch's fused layers pass over; all is compared with the model itself"
    )


def unfused_model(
    problem: Problem, sites: Sequence[Site], listen: Callable[[str], object]
) -> nn.Module:
    """Return the model in the form in which its sites can be changed; say where that differs."""
    model = unfused(problem.model, sites)
    differs = why_unfused_differs(problem, unfused_divergence(problem, model))
    if differs is not None:
        listen(differs)
    return model
