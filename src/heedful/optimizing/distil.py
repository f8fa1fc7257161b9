"""Layer-wise distillation: teach each changed site, by itself, to give what the original's gave."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from heedful.allocation.sites import Site
from heedful.optimizing.descent import descend
from heedful.optimizing.hints import Hints
from heedful.optimizing.problem import Problem

FASTER = 6  # times the learning rate of fine-tuning: a site alone has nothing behind it to upset


def distil(
    model: nn.Module,
    before: nn.Module,
    sites: Sequence[Site],
    problem: Problem,
    *,
    steps: int,
    seed: int = 0,
    on_step: Callable[[int], object] | None = None,
) -> None:
    """Train changed sites, in place, towards what those of `before` give at the same places.

    All at once and each alone: what a site gives is compared, then replaced by what it should have
    given, so that the next one is asked what it was asked in `before`. No truth is needed. Where
    fine-tuning is short this comes first, since it leaves less to fine-tune.

    Args:
        model: A changed copy of `before`.
        before: In the form of `unfused`.
        sites: Those that were changed; dropped ones are left as they are.
        problem: Whose batches are run.
        steps: Of the optimiser; 0 leaves the model as it is.
        seed: Of the batches.
        on_step: Called after each step with its number, from 1.

    Raises:
        TrainingError: The loss is no longer a number.

    Cost:
        A forward pass of each model a step, and a backward pass of the sites.
    """
    batches = problem.training(seed)
    with Hints(model, before, sites, forced=True) as hints:
        weights = [weight for site in hints.sites for weight in site.of(model).parameters()]

        def loss(step: int) -> Tensor:
            batch = next(batches)
            with problem.autocast():
                with torch.no_grad():
                    problem.outputs(before, batch)
                problem.outputs(model, batch)
            return hints.loss()

        descend(
            [weight for weight in weights if weight.requires_grad],
            loss,
            steps=steps,
            learning_rate=FASTER * problem.learning_rate,
            on_step=on_step,
        )
