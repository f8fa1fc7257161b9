"""A bounded number of steps down a loss: what fine-tuning and distillation share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from heedful.errors import TrainingError
from heedful.training.schedule import rate

WARM_UP = 0.05
CLIP = 1.0
STOP = object()


def descend(
    learned: Sequence[nn.Parameter],
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    on_step: Callable[[int], object] | None = None,
) -> int:
    """Change parameters, in place, so that a loss falls; return how many steps were taken.

    Without steps or parameters nothing happens.

    Args:
        learned: Those that change.
        loss: Of a step, counted from 1.
        steps: Of the optimiser.
        learning_rate: The largest one; it rises to it, and then falls to 0.
        on_step: Called after each step with its number, from 1; `STOP` of it ends the descent.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    if not steps or not learned:
        return 0
    optimizer = torch.optim.AdamW(
        learned, learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    step = 0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate((step - 0.5) / steps, warmup=WARM_UP)
        value = loss(step)
        if not torch.isfinite(value):
            raise TrainingError(
                f"the loss of fine-tuning must be a number, got {value.item()} at step {step}. "
                "Lower the learning rate."
            )
        optimizer.zero_grad()
        value.backward(inputs=list(learned))
        nn.utils.clip_grad_norm_(learned, CLIP)
        optimizer.step()
        if on_step is not None and on_step(step) is STOP:
            break
    optimizer.zero_grad()  # copies of the model would carry the gradients along
    return step
