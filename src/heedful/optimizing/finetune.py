"""Fine-tuning: teach a changed model to say again what the original said."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from heedful.allocation.plan import unfused
from heedful.allocation.sites import Site
from heedful.errors import ConfigError
from heedful.metrics.rows import UNKNOWN
from heedful.optimizing.descent import descend
from heedful.optimizing.hints import Hints
from heedful.optimizing.problem import IMPOSSIBLE, Problem, divergence

SLOWEST = 1 / 8
ASKED = 2  # where the truth is known, the original is asked in one of so many steps


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """How long a model is fine-tuned.

    Args:
        steps: Of the optimiser. 0 leaves the model as it is.
        seed: Of the batches.
        rate_scale: Share of the problem's learning rate at which it begins; it then falls to 0.

    Raises:
        ConfigError: `steps` is negative, or `rate_scale` is not above 0.
    """

    steps: int
    seed: int = 0
    rate_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"steps must not be negative, got {self.steps}")
        if not self.rate_scale > 0:
            raise ConfigError(f"pace must be above 0, got {self.rate_scale}")


def rate_scale_for(divergence: float) -> float:
    """Return the pace for a model that is so far from the original, in nats or shares.

    One that is nearly right must not be thrown about: at full pace even the original itself loses
    more in a few hundred steps than most budgets allow.
    """
    return min(1.0, max(SLOWEST, math.sqrt(max(0.0, divergence))))


def imitation_loss(
    kind: str, student: Tensor, teacher: Tensor, truth: Tensor | None
) -> Float[Tensor, ""]:
    """Return the divergence from the original and, of logits, the cross-entropy of the truth.

    Of logits a part that no student changes is left out: then both are the cross-entropy of the
    sum of both distributions, which is one pass instead of three.

    Args:
        kind: As in `Problem`.
        student: Outputs of the changed model, `(rows, values)`.
        teacher: Those of the original.
        truth: The right alternative of each row, `UNKNOWN` where nobody knows; its cross-entropy is
            the mean over the rows where somebody does.
    """
    if kind != "logits":
        return divergence(kind, student, teacher)
    target = teacher.float().softmax(-1)
    if truth is not None:
        known = (truth != UNKNOWN).nonzero().squeeze(1)
        target[known, truth[known]] += len(truth) / max(1, len(known))
    return cross_entropy(student.float().clamp(min=IMPOSSIBLE), target)


def finetune(
    model: nn.Module,
    problem: Problem,
    finetuning: Finetuning,
    *,
    sites: Sequence[Site] = (),
    on_step: Callable[[int], object] | None = None,
) -> int:
    """Train a model, in place, towards the outputs of the original, and the truth where known.

    Both count the same: the original says more to an example, and where it errs the truth is right.
    Where the truth is known the original is asked in every second step only, which fine-tunes as
    well and saves half of the passes that it takes. With sites it is asked in every step, and says
    of
    them too what they should give: that fine-tunes further in few steps.

    All parameters that require gradients learn, not only those of the changed sites, for a bounded
    number of steps. Dropout stays off: the original is imitated as it is used.

    Args:
        model: A changed copy.
        problem: Whose original is the teacher.
        finetuning: How long.
        sites: Those that were changed and are to give again what they gave; none means that only
            the outputs count.
        on_step: Called after each step with its number, from 1; `STOP` of it ends fine-tuning.

    Returns:
        How many steps were taken.

    Raises:
        TrainingError: The loss is no longer a number.

    Source:
        Hinton et al. 2015, arXiv:1503.02531 (distillation).

    Cost:
        A training step and, at most, a forward pass of the original a step.
    """
    batches = problem.training(finetuning.seed)
    teacher = unfused(problem.model) if sites else problem.model
    with Hints(model, teacher, sites) as hints:

        def loss(step: int) -> Float[Tensor, ""]:
            batch = next(batches)
            truth = None if problem.truth is None else problem.truth(batch)
            with problem.autocast():
                if truth is not None and _enough(truth, step) and not hints.sites:
                    student = problem.outputs(model, batch)
                    return cross_entropy(student.float(), truth, ignore_index=UNKNOWN)
                with torch.no_grad():
                    said = problem.outputs(teacher, batch)
                student = problem.outputs(model, batch)
                return imitation_loss(problem.kind, student, said, truth) + hints.loss()

        return descend(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            loss,
            steps=finetuning.steps,
            learning_rate=finetuning.rate_scale * problem.learning_rate,
            on_step=on_step,
        )


def _enough(truth: Tensor, step: int) -> bool:
    """Is this a step to learn from the truth alone?"""
    return step % ASKED != 0 and bool((truth != UNKNOWN).any())
