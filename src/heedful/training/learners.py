"""What takes a training step: one optimizer on one loss, or a learner that a task brings along."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from heedful.config.base import Train
from heedful.errors import TrainingError, UnsupportedError
from heedful.tasks.base import Learner, Task
from heedful.training.optimizer import adamw


class Taken(NamedTuple):
    """What one step came to: a loss summed over `decisions`, and what else is logged."""

    loss: float
    decisions: float
    values: Mapping[str, float]


class NoNumberError(TrainingError):
    """What should become small is no number any more."""


class Stepper(Protocol):
    """What the loop needs of a learner.

    Attributes:
        bare: The model, as checkpoints hold it.
        draws_anew: Random numbers are seeded for every step, not kept from step to step.
    """

    bare: nn.Module
    draws_anew: bool

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    precision: str

    def step(self, batch: Any, learning_rate: float) -> Taken:
        """Learn from a batch.

        Raises:
            NoNumberError: The loss is not finite.
        """
        ...


def stepper(task: Task[Any, Any], model: nn.Module, accelerator: Accelerator) -> Stepper:
    """Return what learns a task.

    Raises:
        UnsupportedError: Several processes are to train what a learner of the task's own trains.
    """
    learner = task.learner(model.to(accelerator.device))
    if learner is None:
        return Supervised(task, model, accelerator)
    if accelerator.num_processes > 1:
        raise UnsupportedError(
            f"{task.config.task} must be trained in one process, got {accelerator.num_processes}"
        )
    return OwnLearner(learner)


class Supervised:
    """AdamW on the mean of a task's loss, over all processes.

    Args:
        task: Whose loss.
        model: On the CPU; goes to where the accelerator is.
        accelerator: Of the training.
    """

    def __init__(self, task: Task[Any, Any], model: nn.Module, accelerator: Accelerator) -> None:
        self.task, self.accelerator = task, accelerator
        self.settings: Train = task.config.train
        self.precision = str(self.settings.precision)
        self.draws_anew: bool = accelerator.num_processes > 1  # a checkpoint holds those of one
        self.bare, plain = model, adamw(model, self.settings)
        self.model: nn.Module
        self.optimizer: torch.optim.Optimizer
        self.model, self.optimizer = accelerator.prepare(model, plain)
        self.optimizers = {"main": plain}

    def step(self, batch: Any, learning_rate: float) -> Taken:
        """Learn from a batch."""
        accelerator = self.accelerator
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        low = self.precision == "bf16"
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=low):
            total, count = self.task.loss(self.model, batch)
        # DDP averages over processes, but each holds a different number of decisions
        everywhere, loss = torch.tensor(count, device=total.device), total.detach()
        several = accelerator.num_processes > 1
        if several:
            sums = torch.stack([loss.float(), everywhere.float()])
            loss, everywhere = cast(Tensor, accelerator.reduce(sums))
        accelerator.backward(total * accelerator.num_processes / everywhere)
        norm = accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        summed, decisions = loss.item(), everywhere.item() if several else count
        if not math.isfinite(summed) or norm is None or not math.isfinite(norm.item()):
            raise NoNumberError(f"{(loss / everywhere).item()} with a gradient of norm {norm}")
        self.optimizer.step()
        self.optimizer.zero_grad()
        return Taken(summed, decisions, {})


class OwnLearner:
    """A learner that a task brings along, in single precision.

    Args:
        learner: Of the task.

    Raises:
        UnsupportedError: It moves what no checkpoint would hold.
    """

    precision = "fp32"
    draws_anew = True  # what scores have drawn in between does not matter

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.bare, self.optimizers = learner.model, learner.optimizers
        moved = [
            parameter
            for optimizer in self.optimizers.values()
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        own = set(self.bare.parameters())
        if len(set(moved)) < len(moved) or not own.issuperset(moved):
            raise UnsupportedError(
                "the optimizers of a learner must hold parameters of its model, each of them once, "
                f"got {sum(each not in own for each in moved)} others and "
                f"{len(moved) - len(set(moved))} more than once"
            )

    def step(self, batch: Any, learning_rate: float) -> Taken:
        """Let the learner take its step."""
        self.bare.train()
        values = self.learner.step(batch, learning_rate)
        loss = next(iter(values.values()))
        if not all(map(math.isfinite, values.values())):
            raise NoNumberError(", ".join(f"{name} = {value}" for name, value in values.items()))
        return Taken(loss, 1.0, values)
