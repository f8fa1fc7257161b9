"""One round of one client: steps from the shared weights, on its own examples."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from heedful.errors import TrainingError, UnsupportedError
from heedful.tasks.base import Dataset, Task
from heedful.training.optimizer import adamw
from heedful.training.schedule import rate
from heedful.training.stream import Stream


def train_locally(
    task: Task[Any, Any],
    model: nn.Module,
    data: Dataset,
    *,
    steps: int,
    number: int = 0,
    rounds: int = 1,
    proximal: float = 0.0,
) -> float:
    """Take steps of AdamW, whose state is the client's own and ends with the round.

    The learning rate goes on from round to round, as in one training of `rounds * steps` steps.
    Every round begins an epoch of its own. Single precision.

    Args:
        task: Whose loss.
        model: With the shared weights; changed in place.
        data: The client's own examples.
        steps: Of this round.
        number: Of the round, from 0.
        rounds: How many there are.
        proximal: `mu` of FedProx, which holds steps near the weights that the round began with:
            every step of AdamW is followed by that of `mu / 2` times the squared distance, of the
            same learning rate, as its weight decay is. As a part of the loss, AdamW would make the
            more of it the smaller gradients are. 0 is FedAvg.

    Returns:
        The mean loss of a decision.

    Raises:
        UnsupportedError: The task has a learner of its own instead of one loss.
        TrainingError: The loss is no longer a number.

    Source:
        McMahan et al. 2017, arXiv:1602.05629 (FedAvg).
        Li et al. 2018, arXiv:1812.06127, equation 2 (FedProx; there with SGD).
        Loshchilov and Hutter 2017, arXiv:1711.05101, section 2 (why penalties stay out of Adam's
        gradient).
    """
    if task.learner(model) is not None:
        raise UnsupportedError(
            f"federated training needs a task with one loss, got {task.config.task}, "
            "which has a learner of its own"
        )
    settings, device = task.config.train, next(model.parameters()).device
    begun = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = adamw(model, settings)
    stream = Stream(task, data, device=device)
    torch.manual_seed(task.config.seed + number)
    model.train()
    total, decisions = 0.0, 0.0
    for step, batch in zip(range(steps), _batches(stream, number), strict=False):
        done = (number * steps + step) / (rounds * steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate(done, warmup=settings.warmup)
        task.proceed(model, done)
        loss, count = task.loss(model, batch)
        total, decisions = total + loss.item(), decisions + count
        if not math.isfinite(total):
            raise TrainingError(f"the loss must stay a number, got {total} at step {step}")
        (loss / count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        if proximal:
            _pull_back(model, begun, optimizer.param_groups[0]["lr"] * proximal)
    model.eval()
    return total / decisions


def _batches(stream: Stream, epoch: int) -> Iterator[Any]:
    for _, batch, _ in stream.after(epoch, 0):
        yield batch


@torch.no_grad()
def _pull_back(model: nn.Module, begun: list[Tensor], strength: float) -> None:
    """Go to where `|w - now|^2 / 2 + strength |w - then|^2 / 2` is least: never past `then`."""
    for now, then in zip(model.parameters(), begun, strict=True):
        now.lerp_(then, strength / (1 + strength))
